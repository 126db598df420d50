"""A take that comes in amid a sentence comes in with its first sound.

A voice takes its time before it speaks. Between two sentences that is a pause; where it takes over from another in
mid-sentence it would be a gap. Knows nothing of takes or of when they are heard.
"""

from typing import Final

import numpy as np

from voxswap_server.audio.loudness import STEP_S, mean_squares
from voxswap_server.engine.job import Samples

QUIET_DB: Final = -50.0
"""Of full scale; what is no louder is quiet."""
LONGEST_S: Final = 1.0
"""Longer quiet is meant: all of it is kept."""


class LeadIn:
    """Leaves out the quiet before the first sound of a signal, but for the step before it.

    Args:
        rate_hz: of the signal.
    """

    def __init__(self, rate_hz: int) -> None:
        self._step_samples = round(rate_hz * STEP_S)
        self._longest_samples = round(rate_hz * LONGEST_S)
        self._held: Samples | None = np.zeros(0, np.float32)
        """Quiet so far; None once it is known what becomes of it."""

    def push(self, samples: Samples) -> Samples:
        """Takes the next samples (n,); returns what may be heard."""
        if self._held is None:
            return samples
        held = self._held = np.concatenate((self._held, samples))
        loud = np.flatnonzero(mean_squares(held, self._step_samples) > 10 ** (QUIET_DB / 10))
        quiet_samples = int(loud[0]) * self._step_samples if loud.size else held.size
        if quiet_samples > self._longest_samples:
            return self.flush()
        if not loud.size:
            return held[:0]
        self._held = None
        return held[max(0, quiet_samples - self._step_samples) :]

    def flush(self) -> Samples:
        """What is still held: it is heard after all."""
        held, self._held = self._held, None
        return np.zeros(0, np.float32) if held is None else held
