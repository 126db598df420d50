"""Bytes from strangers: audio comes out, or one typed error that says what is wrong."""

import http.server
import io
import struct
import threading
from collections.abc import Iterator
from pathlib import Path

import av
import numpy as np
import pytest
import soundfile
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.fixtures.signals import encoded, snr_db, speech_like
from voxswap_server.audio import decode as decode_module
from voxswap_server.audio.decode import Decoded, decode
from voxswap_server.audio.encode import encoder
from voxswap_server.domain import AudioEncoding
from voxswap_server.errors import BadReferenceAudio

RATE_HZ = 24000
SIGNAL = speech_like(RATE_HZ, RATE_HZ)


def read(data: bytes, *, max_s: float = 60, max_bytes: int = 1 << 24) -> Decoded:
    return decode(data, max_s=max_s, max_bytes=max_bytes)


def by_soundfile(container: str, subtype: str, signal: np.ndarray = SIGNAL, rate_hz: int = RATE_HZ) -> bytes:
    file = io.BytesIO()
    soundfile.write(file, signal, rate_hz, format=container, subtype=subtype)
    return file.getvalue()


def by_ffmpeg(container: str, codec: str, rate_hz: int = RATE_HZ) -> bytes:
    file = io.BytesIO()
    with av.open(file, "w", format=container) as muxer:
        stream = muxer.add_stream(codec, rate=rate_hz)
        stream.layout = "mono"
        frame = av.AudioFrame.from_ndarray(SIGNAL[np.newaxis], format="flt", layout="mono")
        frame.sample_rate = RATE_HZ
        muxer.mux(stream.encode(frame))
        muxer.mux(stream.encode(None))
    return file.getvalue()


def by_us(encoding: AudioEncoding, *, whole: bool) -> bytes:
    return encoded(encoder(encoding, RATE_HZ, whole=whole), SIGNAL)


SOUNDFILE = {
    (container, subtype): by_soundfile(container, subtype)
    for container, subtype in [
        ("WAV", "PCM_16"), ("WAV", "FLOAT"), ("WAV", "ULAW"), ("WAVEX", "PCM_24"), ("RF64", "PCM_16"), ("W64", "PCM_16"),
        ("AIFF", "PCM_16"), ("AU", "FLOAT"), ("CAF", "PCM_24"), ("FLAC", "PCM_24"), ("OGG", "VORBIS"), ("MP3", "MPEG_LAYER_III"),
    ]
}  # fmt: skip
FFMPEG = {
    ("mp4", "aac"): by_ffmpeg("mp4", "aac"),
    ("adts", "aac"): by_ffmpeg("adts", "aac"),
    ("webm", "libopus"): by_ffmpeg("webm", "libopus", 48000),
    ("wv", "wavpack"): by_ffmpeg("wv", "wavpack"),
}
STREAMS = {
    encoding: by_us(encoding, whole=False)
    for encoding in (AudioEncoding.WAV, AudioEncoding.FLAC, AudioEncoding.OGG_OPUS, AudioEncoding.MP3)
}
EVERY_FILE = [*SOUNDFILE.values(), *FFMPEG.values(), *STREAMS.values()]


@pytest.mark.parametrize("kind", SOUNDFILE, ids="-".join)
def test_what_libsndfile_writes(kind: tuple[str, str]):
    audio = read(SOUNDFILE[kind])
    assert audio.rate_hz == RATE_HZ
    assert audio.samples.shape == (SIGNAL.size, 1)
    assert audio.samples.dtype == np.float32
    assert snr_db(SIGNAL, audio.samples[:, 0]) > 10


@pytest.mark.parametrize("kind", FFMPEG, ids="-".join)
def test_what_ffmpeg_writes(kind: tuple[str, str]):
    audio = read(FFMPEG[kind])
    assert len(audio.samples) / audio.rate_hz == pytest.approx(1.0, abs=0.1)
    assert np.abs(audio.samples).max() == pytest.approx(np.abs(SIGNAL).max(), rel=0.3)


def test_floats_come_through_bit_for_bit():
    assert np.array_equal(SIGNAL, read(by_soundfile("WAV", "FLOAT")).samples[:, 0])


def test_channels_stay_apart():
    both = np.stack([SIGNAL, -SIGNAL], axis=1)
    for file in (by_soundfile("WAV", "FLOAT", both), by_soundfile("FLAC", "PCM_24", both)):
        assert np.allclose(both, read(file).samples, atol=1e-6)


@pytest.mark.parametrize("length", [0, 0xFFFFFFFF], ids=["zero", "largest"])
def test_a_wav_that_was_streamed_is_read_to_its_end(length: int):
    """Upstream's own server announces 0 bytes."""
    data = bytearray(STREAMS[AudioEncoding.WAV])
    struct.pack_into("<I", data, 4, length)
    struct.pack_into("<I", data, 40, length)
    assert len(read(bytes(data)).samples) == SIGNAL.size


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"", "the audio is empty: 0 bytes"),
        (b"RIFF", "truncated: its header announces 4 bytes more"),
        (b"this is a text, and a long one at that" * 20, "not an audio file"),
        (bytes(5000), "not an audio file"),
        (by_soundfile("WAV", "PCM_16", SIGNAL[:0]), "no audio in it: 0 samples"),
        (by_soundfile("WAV", "FLOAT", np.array([0.1, np.nan, 0.2], np.float32)), "not numbers"),
        (by_soundfile("WAV", "FLOAT", np.array([0.1, np.inf], np.float32)), "not numbers"),
        (by_soundfile("WAV", "PCM_16", np.zeros((100, 9), np.float32)), "9 channels; 1 to 8 are accepted"),
        (by_soundfile("WAV", "PCM_16", SIGNAL, 2000), "sample rate of 2000 Hz; 4000 to 192000 are accepted"),
    ],
    ids=lambda value: value if isinstance(value, str) else "bytes",  # WAV headers hold the time of day
)
def test_what_is_wrong_is_said(data: bytes, message: str):
    with pytest.raises(BadReferenceAudio, match=message):
        read(data)


def test_zero_channels_are_no_audio():
    data = bytearray(by_soundfile("WAV", "PCM_16"))
    struct.pack_into("<H", data, 22, 0)
    with pytest.raises(BadReferenceAudio):
        read(bytes(data))


def test_too_large_and_too_long():
    data = by_soundfile("FLAC", "PCM_16")
    with pytest.raises(BadReferenceAudio, match=f"{len(data)} bytes; at most {len(data) - 1} are accepted"):
        read(data, max_bytes=len(data) - 1)
    with pytest.raises(BadReferenceAudio, match=r"longer than 0.9 s"):
        read(data, max_s=0.9)
    assert len(read(data, max_s=1.0, max_bytes=len(data)).samples) == RATE_HZ


def test_an_hour_of_silence_in_few_bytes_is_not_unpacked():
    """A FLAC of zeros is smaller than its samples by a factor of a thousand."""
    bomb = by_soundfile("FLAC", "PCM_16", np.zeros(3600 * 8000, np.float32), 8000)
    assert len(bomb) < 200_000
    with pytest.raises(BadReferenceAudio, match="longer than 10 s"):
        read(bomb, max_s=10)


def test_a_picture_has_no_audio():
    file = io.BytesIO()
    with av.open(file, "w", format="mp4") as muxer:
        stream = muxer.add_stream("mpeg4", rate=5)
        stream.width = stream.height = 16
        stream.pix_fmt = "yuv420p"
        muxer.mux(stream.encode(av.VideoFrame(16, 16, "yuv420p")))
        muxer.mux(stream.encode(None))
    with pytest.raises(BadReferenceAudio, match="no audio stream"):
        read(file.getvalue())


@pytest.mark.parametrize("part", [0.5, 0.95])
@pytest.mark.parametrize(
    "kind", [("WAV", "PCM_16"), ("AIFF", "PCM_16"), ("FLAC", "PCM_24"), ("OGG", "VORBIS")], ids="-".join
)
def test_a_file_cut_off_is_not_taken_for_a_shorter_one(kind: tuple[str, str], part: float):
    data = SOUNDFILE[kind]
    with pytest.raises(BadReferenceAudio, match="truncated"):
        read(data[: int(part * len(data))])


def test_a_chance_likeness_to_an_ogg_page_is_no_truncation():
    data = SOUNDFILE["OGG", "VORBIS"]
    assert len(read(data + b"OggS ").samples) == SIGNAL.size


@pytest.fixture
def web_server() -> Iterator[tuple[str, list[str]]]:
    """Somewhere that a tricked decoder would call, and the list of its visitors."""
    visits: list[str] = []

    class Page(http.server.BaseHTTPRequestHandler):
        def do_GET(self):
            visits.append(self.path)
            self.send_response(200)
            self.end_headers()
            self.wfile.write(SOUNDFILE["MP3", "MPEG_LAYER_III"])

        def log_message(self, *args):
            """Quiet."""

    with http.server.HTTPServer(("127.0.0.1", 0), Page) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}/clip.mp3", visits
        server.shutdown()
        thread.join()


PLAYLISTS = {
    "hls": "#EXTM3U\n#EXT-X-TARGETDURATION:9\n#EXTINF:2,\n{}\n#EXT-X-ENDLIST\n",
    "concat": "ffconcat version 1.0\nfile '{}'\n",
    "dash": '<?xml version="1.0"?><MPD xmlns="urn:mpeg:dash:schema:mpd:2011"><Period><AdaptationSet><Representation id="1" '
    'mimeType="audio/mpeg"><BaseURL>{}</BaseURL></Representation></AdaptationSet></Period></MPD>',
    "sdp": "v=0\no=- 0 0 IN IP4 127.0.0.1\ns={}\nc=IN IP4 127.0.0.1\nt=0 0\nm=audio 5004 RTP/AVP 0\n",
}


@pytest.mark.parametrize("playlist", PLAYLISTS)
def test_bytes_that_name_other_files_open_none(playlist: str, web_server: tuple[str, list[str]], tmp_path: Path):
    url, visits = web_server
    clip = tmp_path / "clip.mp3"
    clip.write_bytes(SOUNDFILE["MP3", "MPEG_LAYER_III"])
    for place in (url, str(clip), clip.as_uri()):
        with pytest.raises(BadReferenceAudio, match="not an audio file"):
            read(PLAYLISTS[playlist].format(place).encode())
    assert visits == []


def ends_well(data: bytes) -> None:
    """Audio within bounds, or the one error; never anything else."""
    try:
        audio = read(data, max_s=5)
    except BadReferenceAudio as refused:
        assert refused.message  # noqa: PT017 - either outcome is right
        return
    assert audio.samples.ndim == 2
    assert 1 <= len(audio.samples) <= 5 * audio.rate_hz
    assert np.isfinite(audio.samples).all()


FUZZ = settings(
    max_examples=150, deadline=None, suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large]
)


@FUZZ
@given(st.binary(max_size=4096))
def test_random_bytes_end_well(data: bytes):
    ends_well(data)


@FUZZ
@given(
    st.sampled_from([b"RIFF", b"fLaC", b"OggS", b"caff", b"FORM", b".snd", b"ID3\4", b"\xff\xfb", b"riff", b"RF64"]),
    st.binary(max_size=2048),
)
def test_random_bytes_after_a_true_beginning_end_well(magic: bytes, rest: bytes):
    ends_well(magic + rest)


@FUZZ
@given(st.sampled_from(EVERY_FILE), st.floats(0, 1))
def test_files_cut_off_anywhere_end_well(data: bytes, part: float):
    ends_well(data[: int(part * len(data))])


@FUZZ
@given(
    st.sampled_from(EVERY_FILE),
    st.lists(st.tuples(st.floats(0, 1, exclude_max=True), st.integers(0, 255)), min_size=1, max_size=20),
    st.booleans(),
)
def test_damaged_files_end_well(data: bytes, damage: list[tuple[float, int]], in_header: bool):
    damaged = bytearray(data)
    span = min(200, len(data)) if in_header else len(data)
    for place, value in damage:
        damaged[int(place * span)] = value
    ends_well(bytes(damaged))


@pytest.mark.parametrize(
    ("offset", "whence", "place"),
    [(4, 0, 4), (-1, 0, 0), (-9, 1, 0), (2, 1, 5), (-2, 2, 8), (1, 2, 10), (2**63 - 1, 1, 10), (-(2**63), 2, 0)],
)
def test_a_clip_can_be_asked_for_any_place(offset: int, whence: int, place: int):
    """Libsndfile asks from C, where an exception would only be printed."""
    clip = decode_module._Clip(bytes(10))
    clip.read(3)
    assert clip.seek(offset, whence) == clip.tell() == place
