"""Bytes without a header: one sample, one value.

Knows nothing of rates; the values mean the same at any.
"""

import io

import numpy as np
import soundfile

from voxswap_server.audio.pcm import Samples, to_int16


def frame_s(rate_hz: int) -> float:
    """There is no codec, so nothing is gathered."""
    del rate_hz
    return 0.0


class PcmS16:
    """Signed 16-bit little-endian."""

    def __init__(self, rate_hz: int) -> None:
        del rate_hz

    def push(self, samples: Samples) -> bytes:
        return to_int16(samples).astype("<i2").tobytes()

    def finish(self) -> bytes:
        return b""


class PcmF32:
    """32-bit little-endian floats, as the network made them: not clipped."""

    def __init__(self, rate_hz: int) -> None:
        del rate_hz

    def push(self, samples: Samples) -> bytes:
        return np.asarray(samples, "<f4").tobytes()

    def finish(self) -> bytes:
        return b""


class _G711:
    """8-bit logarithmic values (ITU-T G.711), by libsndfile."""

    law: str

    def __init__(self, rate_hz: int) -> None:
        self._rate_hz = rate_hz

    def push(self, samples: Samples) -> bytes:
        # From integers, so that the values are those of the 16-bit signal; libsndfile would round floats by itself.
        coded = io.BytesIO()
        soundfile.write(coded, to_int16(samples), self._rate_hz, format="RAW", subtype=self.law)
        return coded.getvalue()

    def finish(self) -> bytes:
        return b""


class MuLaw(_G711):
    law = "ULAW"


class ALaw(_G711):
    law = "ALAW"
