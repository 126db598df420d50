"""Another sample rate for audio that is still being made.

Knows nothing of chunks, utterances or voices: state is kept from one push to the next, so a cut between two pushes is
never heard. Built on libsoxr (quality HQ: pass-band to 91 %, more than 100 dB of rejection).
"""

import numpy as np
import soxr

from voxswap_server.audio.pcm import Samples


class StreamResampler:
    """Resamples one signal piece by piece.

    The output does not depend on how the input is cut. After `finish` the total is, for every n, the nearest whole
    number to `n * out_hz / in_hz`, halves upward. libsoxr's delay (20 to 120 ms of
    input; longest when the rate falls most) holds output back, it does not shift it: output sample k stands for the
    instant `k / out_hz`.
    """

    def __init__(self, in_hz: int, out_hz: int) -> None:
        self.in_hz = in_hz
        self.out_hz = out_hz
        self._stream = None if in_hz == out_hz else soxr.ResampleStream(in_hz, out_hz, 1, dtype="float32", quality="HQ")

    def push(self, samples: Samples) -> Samples:
        """Takes `(n,)` samples at `in_hz` and returns what is ready at `out_hz`, often fewer than they make."""
        return self._advance(samples, last=False)

    def finish(self) -> Samples:
        """Returns what was held back. Nothing may be pushed after it."""
        return self._advance(np.zeros(0, np.float32), last=True)

    def _advance(self, samples: Samples, *, last: bool) -> Samples:
        if self._stream is None:
            return samples
        ready: Samples = self._stream.resample_chunk(np.ascontiguousarray(samples, np.float32), last=last)
        return ready
