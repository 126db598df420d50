"""How high the voice is in each spoken row: what the teacher planned, on the scale of the generator's input.

Knows nothing of networks.
"""

import math
from collections.abc import Mapping
from typing import Final

import numpy as np
import torch
from torch import Tensor

from voxswap_training.pack import PITCH_STEPS, Lines

_ORIGIN_HZ: Final = 150.0
SPREAD_SEMITONES: Final = 4.0
_HALVES: Final = np.array([-0.25, 0.25])
"""Where in a frame its two values are read, from its middle."""


class Pitch:
    def __init__(self, lines: Lines, medians_hz: Mapping[str, float]) -> None:
        """`medians_hz`: of every voice of the lines, as the codebook has them."""
        rows = []
        for row in range(lines.spoken):
            median = 12 * np.log2(medians_hz[lines.voices[lines.voice[row]]] / _ORIGIN_HZ)
            middles = np.arange(len(lines.pitch[row]))
            halves = (middles[:, None] + _HALVES).ravel()
            rows.append((median + np.interp(halves, middles, lines.pitch[row] / PITCH_STEPS)) / SPREAD_SEMITONES)
        self._values = torch.from_numpy(np.concatenate(rows).astype(np.float32)).view(-1, len(_HALVES))
        self._ends = torch.from_numpy(np.cumsum([len(row) // len(_HALVES) for row in rows]))
        self._counts = torch.diff(self._ends, prepend=torch.zeros(1, dtype=torch.long))

    @property
    def counts(self) -> Tensor:
        """Frames of each row."""
        return self._counts

    def rows(self, rows: Tensor, first: Tensor, frames: int) -> Tensor:
        """Stretches of rows; beyond their ends the nearest value goes on.

        Args:
            rows: (B,) which.
            first: (B,) from which frame on.
            frames: of every stretch.

        Returns:
            (B, 2, frames) four semitones a unit from 150 Hz on; where a sound has no voice, the speaker's median.
        """
        place = (first[:, None] + torch.arange(frames)).clamp_min(0)
        place = torch.minimum(place, self._counts[rows][:, None] - 1)
        return self._values[(self._ends[rows] - self._counts[rows])[:, None] + place].transpose(1, 2)


def hertz_of(pitch: Tensor) -> Tensor:
    """Values of `Pitch` as frequencies."""
    return _ORIGIN_HZ * torch.exp2(pitch * (SPREAD_SEMITONES / 12))


def within(pitch: Tensor, low_hz: float, high_hz: float) -> Tensor:
    """Values of `Pitch`, none lower or higher than that."""
    low, high = (12 * math.log2(hertz / _ORIGIN_HZ) / SPREAD_SEMITONES for hertz in (low_hz, high_hz))
    return pitch.clamp(low, high)
