"""Lengths in headers: a stream that was written to a file as it came is read by libsndfile to its last sample."""

import io

import numpy as np
import pytest
import soundfile
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.fixtures.signals import encoded, speech_like
from voxswap_client import AudioEncoding, complete_header
from voxswap_server.audio.encode import encoder
from voxswap_server.audio.pcm import to_int16
from voxswap_server.domain import AudioEncoding as Encoding

RATES_HZ = st.sampled_from([8_000, 24_000, 32_000, 48_000])


@settings(max_examples=25)
@given(st.sampled_from(["wav", "flac"]), RATES_HZ, st.integers(1, 9_000), st.integers(100, 4_000))
def test_libsndfile_reads_every_sample(name: str, rate_hz: int, samples: int, cut_samples: int):
    signal = speech_like(samples, rate_hz)
    file = io.BytesIO(encoded(encoder(Encoding(name), rate_hz), signal, cut_samples))
    complete_header(file, AudioEncoding(name), samples)
    file.seek(0)
    assert soundfile.info(file).frames == samples
    file.seek(0)
    read, read_hz = soundfile.read(file, dtype="int16")
    assert read_hz == rate_hz
    assert np.array_equal(read, to_int16(signal))


def test_without_it_libsndfile_takes_flac_for_endless():
    stream = encoded(encoder(Encoding.FLAC, 24_000), speech_like(24_000, 24_000))
    with pytest.raises(ValueError, match="too big"):
        soundfile.read(io.BytesIO(stream))


@pytest.mark.parametrize("name", sorted(set(AudioEncoding) - {"wav", "flac"}))
def test_what_has_no_length_in_its_header_stays_as_it_is(name: str):
    file = io.BytesIO(b"whatever came")
    complete_header(file, AudioEncoding(name), 24_000)
    assert file.getvalue() == b"whatever came"


class Pipe(io.BytesIO):
    def seekable(self) -> bool:
        return False

    def seek(self, *to: int) -> int:
        raise io.UnsupportedOperation("a pipe has no places")


def test_what_cannot_seek_stays_as_it_is():
    stream = encoded(encoder(Encoding.FLAC, 24_000), speech_like(5_000, 24_000))
    pipe = Pipe(stream)
    complete_header(pipe, AudioEncoding.FLAC, 5_000)
    assert pipe.getvalue() == stream
