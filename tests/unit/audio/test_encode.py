"""Whatever an encoder is fed with, and in what pieces, its bytes decode to the signal."""

import io
import wave

import av
import numpy as np
import pytest
import soundfile
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.fixtures.signals import encoded, snr_db, speech_like
from voxswap_server.audio.decode import Decoded, decode
from voxswap_server.audio.encode import SPECS, choose_rate, encoder
from voxswap_server.audio.encoders import aac, mp3
from voxswap_server.audio.pcm import to_int16
from voxswap_server.domain import AudioEncoding
from voxswap_server.errors import RequestError

CONTAINERS = [AudioEncoding.WAV, AudioEncoding.FLAC, AudioEncoding.OGG_OPUS, AudioEncoding.MP3, AudioEncoding.AAC]
LOSSLESS = [AudioEncoding.WAV, AudioEncoding.FLAC]
G711 = {AudioEncoding.MULAW: "ULAW", AudioEncoding.ALAW: "ALAW"}
RATES = [8000, 16000, 24000, 32000, 44100, 48000]
EVERY_CASE = [(encoding, rate) for encoding in AudioEncoding for rate in RATES if rate in SPECS[encoding].rates_hz]
# dB, at every rate; measured on this signal: 25.6 at worst for Opus, 34 for MP3, 26 for AAC.
LEAST_SNR_DB = {
    AudioEncoding.WAV: 70,
    AudioEncoding.FLAC: 70,
    AudioEncoding.OGG_OPUS: 20,
    AudioEncoding.MP3: 30,
    AudioEncoding.AAC: 20,
}


def lead_samples(encoding: AudioEncoding, *, whole: bool) -> int:
    """How late the decoded signal is."""
    if encoding is AudioEncoding.AAC:
        return aac.LEAD_SAMPLES
    return mp3.LEAD_SAMPLES if encoding is AudioEncoding.MP3 and not whole else 0


def headerless(encoding: AudioEncoding, data: bytes, rate_hz: int) -> np.ndarray:
    """What a telephone or a sound card would make of it."""
    if encoding in G711:
        file = io.BytesIO(data)
        return soundfile.read(
            file, dtype="float32", samplerate=rate_hz, channels=1, format="RAW", subtype=G711[encoding]
        )[0]
    if encoding is AudioEncoding.PCM_S16:
        return np.frombuffer(data, "<i2").astype(np.float32) / 32768
    return np.frombuffer(data, "<f4")


def played(encoding: AudioEncoding, data: bytes, rate_hz: int) -> Decoded:
    if encoding in CONTAINERS:
        return decode(data, max_s=60, max_bytes=1 << 24)
    return Decoded(headerless(encoding, data, rate_hz)[:, np.newaxis], rate_hz)


def read_by_ffmpeg(data: bytes) -> tuple[int, int]:
    """Samples and rate."""
    with av.open(io.BytesIO(data)) as container:
        return sum(frame.samples for frame in container.decode(audio=0)), container.streams.audio[0].rate


@pytest.mark.parametrize("whole", [False, True], ids=["stream", "whole"])
@pytest.mark.parametrize(("encoding", "rate_hz"), EVERY_CASE)
def test_decoded_length_is_that_of_the_pcm_within_a_frame(encoding: AudioEncoding, rate_hz: int, whole: bool):
    samples = 2 * rate_hz + 777
    data = encoded(encoder(encoding, rate_hz, whole=whole), speech_like(samples, rate_hz), 4096)
    audio = played(encoding, data, rate_hz)
    difference_s = len(audio.samples) / audio.rate_hz - samples / rate_hz
    assert abs(difference_s) <= SPECS[encoding].frame_s(rate_hz)
    if encoding not in {AudioEncoding.MP3, AudioEncoding.AAC}:
        assert difference_s == 0


@pytest.mark.parametrize(("encoding", "rate_hz"), [case for case in EVERY_CASE if case[0] in CONTAINERS])
def test_every_container_plays_in_ffmpeg_too(encoding: AudioEncoding, rate_hz: int):
    samples = rate_hz + 333
    for whole in (False, True):
        data = encoded(encoder(encoding, rate_hz, whole=whole), speech_like(samples, rate_hz))
        heard, heard_hz = read_by_ffmpeg(data)
        assert abs(heard / heard_hz - samples / rate_hz) <= SPECS[encoding].frame_s(rate_hz)


@pytest.mark.parametrize("whole", [False, True], ids=["stream", "whole"])
@pytest.mark.parametrize(("encoding", "rate_hz"), [case for case in EVERY_CASE if case[0] in CONTAINERS])
def test_the_signal_survives(encoding: AudioEncoding, rate_hz: int, whole: bool):
    signal = speech_like(2 * rate_hz, rate_hz)
    audio = played(encoding, encoded(encoder(encoding, rate_hz, whole=whole), signal), rate_hz)
    assert audio.rate_hz == rate_hz
    late = lead_samples(encoding, whole=whole)
    heard = audio.samples[late : late + signal.size, 0]
    assert snr_db(signal[: heard.size], heard) > LEAST_SNR_DB[encoding]
    assert signal.size - heard.size <= late


@pytest.mark.parametrize("encoding", G711)
def test_g711_keeps_a_telephones_quality(encoding: AudioEncoding):
    signal = speech_like(16000, 8000)
    assert snr_db(signal, headerless(encoding, encoded(encoder(encoding, 8000), signal), 8000)) > 33


@pytest.mark.parametrize("encoding", LOSSLESS)
@pytest.mark.parametrize("whole", [False, True], ids=["stream", "whole"])
def test_lossless_means_the_same_integers(encoding: AudioEncoding, whole: bool):
    signal = speech_like(10007, 32000)
    audio = played(encoding, encoded(encoder(encoding, 32000, whole=whole), signal, 1000), 32000)
    assert np.array_equal(to_int16(signal), np.round(audio.samples[:, 0] * 32768))


def test_f32_is_the_signal_itself_and_is_not_clipped():
    signal = np.array([0.1, 1.5, -7.0], np.float32)
    assert np.array_equal(
        signal, headerless(AudioEncoding.PCM_F32, encoder(AudioEncoding.PCM_F32, 32000).push(signal), 32000)
    )


@pytest.mark.parametrize("encoding", AudioEncoding)
@settings(max_examples=15, deadline=None)
@given(st.integers(0, 6000), st.lists(st.integers(0, 6000), max_size=6), st.booleans())
def test_bytes_do_not_depend_on_how_the_signal_is_cut(
    encoding: AudioEncoding, samples: int, cuts: list[int], whole: bool
):
    signal = speech_like(samples, 24000)
    fed = encoder(encoding, 24000, whole=whole)
    pieces = np.split(signal, sorted(min(cut, samples) for cut in cuts))
    data = b"".join([*(fed.push(piece) for piece in pieces), fed.finish()])
    assert data == encoded(encoder(encoding, 24000, whole=whole), signal)


@pytest.mark.parametrize("encoding", AudioEncoding)
def test_a_chunk_in_is_a_chunk_out(encoding: AudioEncoding):
    """No more than two frames, LAME's look-ahead of one more included, are ever held back."""
    rate_hz = 24000
    step = rate_hz // 100
    made = encoder(encoding, rate_hz)
    header = len(made.push(np.zeros(0, np.float32)))
    pushed = 0
    while len(made.push(speech_like(step, rate_hz))) <= (0 if pushed else header):
        pushed += step
    frames = 4 if encoding is AudioEncoding.MP3 else 2
    assert pushed / rate_hz <= frames * SPECS[encoding].frame_s(rate_hz) + 0.011


@pytest.mark.parametrize(
    ("encoding", "magic"),
    [(AudioEncoding.WAV, b"RIFF"), (AudioEncoding.FLAC, b"fLaC"), (AudioEncoding.OGG_OPUS, b"OggS")],
)
def test_the_header_comes_first_and_once(encoding: AudioEncoding, magic: bytes):
    made = encoder(encoding, 48000)
    first, *rest = [made.push(speech_like(9600, 48000)) for _ in range(4)]
    assert first.startswith(magic)
    if encoding is not AudioEncoding.OGG_OPUS:  # each page of Ogg begins so
        assert not any(magic in later for later in rest)


@pytest.mark.parametrize("whole", [False, True], ids=["stream", "whole"])
@pytest.mark.parametrize("encoding", CONTAINERS)
def test_loud_samples_are_clipped_and_do_not_wrap(encoding: AudioEncoding, whole: bool):
    loud = 3 * np.sin(np.arange(24000) / 40).astype(np.float32)
    heard = played(encoding, encoded(encoder(encoding, 24000, whole=whole), loud), 24000).samples[:, 0]
    late = lead_samples(encoding, whole=whole)
    # After a wrap-around the two would have opposite signs wherever the signal is loudest.
    assert snr_db(np.clip(loud, -1, 1)[4000:20000], heard[4000 + late : 20000 + late]) > 15


@pytest.mark.parametrize("whole", [False, True], ids=["stream", "whole"])
@pytest.mark.parametrize("encoding", AudioEncoding)
def test_equal_signals_are_equal_bytes(encoding: AudioEncoding, whole: bool):
    signal = speech_like(24000, 24000)
    first, second = (encoded(encoder(encoding, 24000, whole=whole), signal) for _ in range(2))
    assert first == second


def test_a_wav_stream_is_read_to_its_end_by_pythons_own_reader():
    data = encoded(encoder(AudioEncoding.WAV, 32000), speech_like(5000, 32000))
    with wave.open(io.BytesIO(data)) as file:
        assert (file.getframerate(), file.getnchannels(), file.getsampwidth()) == (32000, 1, 2)
        assert len(file.readframes(10**6)) == 10000


def test_a_whole_wav_states_its_exact_length():
    data = encoded(encoder(AudioEncoding.WAV, 32000, whole=True), speech_like(5000, 32000))
    with wave.open(io.BytesIO(data)) as file:
        assert file.getnframes() == 5000
    assert int.from_bytes(data[4:8], "little") == len(data) - 8


def test_a_whole_flac_states_its_exact_length():
    data = encoded(encoder(AudioEncoding.FLAC, 32000, whole=True), speech_like(5000, 32000))
    assert soundfile.info(io.BytesIO(data)).frames == 5000


@pytest.mark.parametrize("encoding", AudioEncoding)
def test_an_encoder_that_is_left_behind_harms_no_one(encoding: AudioEncoding):
    """A cancelled request drops its encoder in the middle."""
    made = encoder(encoding, 24000)
    made.push(speech_like(5000, 24000))
    del made


def test_opus_has_five_rates_and_says_so():
    with pytest.raises(
        RequestError, match=r"ogg_opus has no sample rate of 32000 Hz; choices: 8000, 12000, 16000, 24000, 48000"
    ):
        encoder(AudioEncoding.OGG_OPUS, 32000)
    with pytest.raises(RequestError, match=r"wav has no sample rate of 96000 Hz; choices: 8000 to 48000") as refused:
        choose_rate(AudioEncoding.WAV, 32000, asked_hz=96000)
    assert refused.value.field == "sample_rate_hz"


@pytest.mark.parametrize(
    ("encoding", "native_hz", "asked_hz", "chosen_hz"),
    [
        (AudioEncoding.OGG_OPUS, 32000, None, 48000),
        (AudioEncoding.OGG_OPUS, 24000, None, 24000),
        (AudioEncoding.OGG_OPUS, 32000, 16000, 16000),
        (AudioEncoding.MP3, 32000, None, 32000),
        (AudioEncoding.PCM_S16, 32000, 8001, 8001),
    ],
)
def test_the_rate_is_what_is_asked_or_the_voices_own_or_the_next_above(encoding, native_hz, asked_hz, chosen_hz):
    assert choose_rate(encoding, native_hz, asked_hz=asked_hz) == chosen_hz


def test_every_encoding_has_a_row():
    assert set(SPECS) == set(AudioEncoding)
