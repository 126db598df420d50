"""µ-law and A-law against the rules of ITU-T G.711, written out here a second time, by intervals."""

import numpy as np
import pytest

from voxswap_server.audio.encode import encoder
from voxswap_server.domain import AudioEncoding

EVERY_VALUE = np.arange(-32768, 32768)
FULL_SCALE = (EVERY_VALUE / 32768).astype(np.float32)


def mu_law(value: int) -> int:
    """Segment s of 8 holds 16 steps of 2^(s+3), once 132 is added to the magnitude; all bits are inverted."""
    magnitude = min(abs(value), 32635) + 132
    segment = magnitude.bit_length() - 8
    step = (magnitude >> (segment + 3)) & 15
    sign = 0x80 if value < 0 else 0
    return ~(sign | segment << 4 | step) & 0xFF


def a_law(value: int) -> int:
    """Segments 0 and 1 have steps of 16, each further one twice that; even bits are inverted."""
    magnitude = min(abs(value), 32767) >> 4
    segment = max(0, magnitude.bit_length() - 4)
    step = magnitude & 15 if segment == 0 else (magnitude >> (segment - 1)) & 15
    sign = 0 if value < 0 else 0x80
    return (sign | segment << 4 | step) ^ 0x55


@pytest.mark.parametrize(("encoding", "rule"), [(AudioEncoding.MULAW, mu_law), (AudioEncoding.ALAW, a_law)])
def test_every_sample_value_has_the_code_of_the_standard(encoding: AudioEncoding, rule):
    coded = np.frombuffer(encoder(encoding, 8000).push(FULL_SCALE), np.uint8)
    assert coded.tolist() == [rule(int(value)) for value in EVERY_VALUE]


@pytest.mark.parametrize(
    ("encoding", "codes"),
    [
        # Silence, full scale up and down.
        (AudioEncoding.MULAW, [0xFF, 0x80, 0x00]),
        (AudioEncoding.ALAW, [0xD5, 0xAA, 0x2A]),
    ],
)
def test_known_codes(encoding: AudioEncoding, codes: list[int]):
    assert list(encoder(encoding, 8000).push(np.array([0.0, 1.0, -1.0], np.float32))) == codes
