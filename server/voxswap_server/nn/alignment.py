"""The best monotone path through an attention: how long each phone is heard.

Knows nothing of where the attention comes from. Dynamic programming, as Viterbi's: the phones come in order, each for
at least one frame.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

_LEAST = 1e-6
"""No weight is less: one frame that looks elsewhere does not forbid a path."""


@dataclass(frozen=True, slots=True)
class Path:
    """The best one."""

    ends: NDArray[np.float64]
    """(phones,) Where each phone ends, as a part of the whole, rising to 1."""
    weight: float
    """Geometric mean of the weights along it, 0..1: how much of an alignment the attention is."""


def best_path(attention: NDArray[np.float32]) -> Path:
    """
    Args:
        attention: (frames, phones) weights. Where there are fewer frames than phones, a frame may hold several.
    """
    frames, phones = attention.shape
    parts = -(-phones // frames)  # each frame stands for so many steps of the path
    score = np.log(np.maximum(attention, _LEAST)).repeat(parts, axis=0)
    steps = frames * parts
    moved = np.zeros((steps, phones), bool)
    best = np.full(phones, -np.inf)
    best[0] = score[0, 0]
    for step in range(1, steps):
        before = np.concatenate(([-np.inf], best[:-1]))
        moved[step] = before > best
        best = np.maximum(before, best) + score[step]
    ends = np.empty(phones)
    phone = phones - 1
    ends[phone] = steps
    for step in range(steps - 1, 0, -1):
        if moved[step, phone]:
            phone -= 1
            ends[phone] = step
    return Path(ends / steps, float(np.exp(best[-1] / steps)))
