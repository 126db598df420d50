"""When a signal is quiet, told step by step as it comes. Knows nothing of what is said in it."""

from typing import Final

import numpy as np
from numpy.typing import NDArray

from voxswap_server.audio.pcm import Samples

STEP_S: Final = 0.01
"""Loudness is told of steps of this length."""
_BELOW_DB: Final = 35.0
"""So far below the loud steps a step is quiet."""
_FLOOR_DB: Final = -60.0
"""What is below full scale by this is quiet in any case."""
_SHORTEST_STEPS: Final = 10
"""Shorter quiet is the closure of a stop: it belongs to the sound that it stops."""
_CLICK_STEPS: Final = 2
"""A noise in the quiet that is no longer is no speech."""


class Loudness:
    """The levels of one signal of `rate_hz`, pushed piece by piece."""

    def __init__(self, rate_hz: int) -> None:
        self.step_samples = round(rate_hz * STEP_S)
        self._rest = np.zeros(0, np.float32)
        self._levels_db: list[NDArray[np.float64]] = []

    def push(self, samples: Samples) -> None:
        """Takes the next piece (n,)."""
        samples = np.concatenate((self._rest, samples))
        self._rest = samples[samples.size // self.step_samples * self.step_samples :]
        self._levels_db.append(_levels_db(samples, self.step_samples))

    def quiet(self) -> NDArray[np.bool_]:
        """(steps,) of all that was pushed, the last step begun included: whether nothing is heard for a while."""
        last = [_levels_db(self._rest, self._rest.size)] if self._rest.size else []
        levels_db = np.concatenate([*self._levels_db, *last, np.zeros(0)])
        if not levels_db.size:
            return np.zeros(0, bool)
        quiet = levels_db < max(_FLOOR_DB, float(np.percentile(levels_db, 95)) - _BELOW_DB)
        # First what parts two sounds: a noise so near to another sound is the release of a stop, and part of it.
        for start, end in _runs(quiet):
            within = start > 0 and end < quiet.size
            if within and end - start < _SHORTEST_STEPS:
                quiet[start:end] = False
        for start, end in _runs(~quiet):
            if end - start <= _CLICK_STEPS:
                quiet[start:end] = True
        return quiet


def mean_squares(samples: Samples, step_samples: int) -> NDArray[np.float64]:
    """(n,) -> (steps,) of the whole steps in it; what is left over is not looked at."""
    steps = samples[: samples.size // step_samples * step_samples].reshape(-1, step_samples)
    return np.asarray(np.square(steps, dtype=np.float64).mean(axis=1))


def _levels_db(samples: Samples, step_samples: int) -> NDArray[np.float64]:
    """(n,) -> (steps,) dB of full scale."""
    return np.asarray(10 * np.log10(mean_squares(samples, step_samples) + 1e-12))


def _runs(flags: NDArray[np.bool_]) -> NDArray[np.int64]:
    """(runs, 2): first and first after, of each run of true ones."""
    edges = np.diff(np.concatenate(([False], flags, [False])).astype(np.int8))
    return np.stack((np.flatnonzero(edges == 1), np.flatnonzero(edges == -1)), axis=1)
