"""RIFF WAVE around signed 16-bit mono samples.

Knows nothing of other subtypes: 16 bits is what every player reads. The 44 bytes of the header are written here because
no library writes one before it knows the length, or one that says that it does not.
"""

import struct

from voxswap_server.audio.encoders.raw import PcmS16
from voxswap_server.audio.pcm import Samples

UNKNOWN_BYTES = 0xFFFFFFFF
"""Length of a stream whose end is not known. libsndfile, FFmpeg, SoX and Python's `wave` read on to the end of the
file; the other custom, a length of 0, reads as an empty file in libsndfile and as no file at all in `wave`."""

_HEADER = struct.Struct("<4sI4s4sIHHIIHH4sI")
_PCM = 1
_SAMPLE_BYTES = 2


def header(rate_hz: int, data_bytes: int = UNKNOWN_BYTES) -> bytes:
    """The 44 bytes before the samples. A length that 32 bits cannot hold is as good as unknown."""
    riff_bytes = min(data_bytes + _HEADER.size - 8, UNKNOWN_BYTES)
    return _HEADER.pack(
        b"RIFF", riff_bytes, b"WAVE", b"fmt ", 16, _PCM, 1, rate_hz, rate_hz * _SAMPLE_BYTES, _SAMPLE_BYTES,
        8 * _SAMPLE_BYTES, b"data", min(data_bytes, UNKNOWN_BYTES),
    )  # fmt: skip


class WavStream:
    """A header of unknown length, then the samples as they come."""

    def __init__(self, rate_hz: int) -> None:
        self._pcm = PcmS16(rate_hz)
        self._header = header(rate_hz)

    def push(self, samples: Samples) -> bytes:
        head, self._header = self._header, b""
        return head + self._pcm.push(samples)

    def finish(self) -> bytes:
        """The header, if nothing was ever pushed: a file without samples is a file."""
        head, self._header = self._header, b""
        return head


class WavFile:
    """Holds the samples back until their number is known."""

    def __init__(self, rate_hz: int) -> None:
        self._rate_hz = rate_hz
        self._pcm = PcmS16(rate_hz)
        self._data = bytearray()

    def push(self, samples: Samples) -> bytes:
        self._data += self._pcm.push(samples)
        return b""

    def finish(self) -> bytes:
        return header(self._rate_hz, len(self._data)) + bytes(self._data)
