"""Rows of different lengths that lie end to end in one tensor, and how stretches of them are found there."""

from dataclasses import dataclass
from typing import Self

import torch
from torch import Tensor


@dataclass(frozen=True, slots=True)
class Rows:
    counts: Tensor
    """(R,) how long each is."""
    ends: Tensor
    """(R,) where each ends."""

    @classmethod
    def of(cls, counts: Tensor) -> Self:
        return cls(counts, torch.cumsum(counts, 0))

    def stretches(self, rows: Tensor, first: Tensor, length: int) -> tuple[Tensor, Tensor]:
        """Where stretches lie.

        Args:
            rows: (B,) which.
            first: (B,) from where on, within each; it may lie before it.
            length: of every stretch.

        Returns:
            (B, length) places in the whole, and which of them are of that row: the others are anywhere.
        """
        place = first[:, None] + torch.arange(length)
        inside = (place >= 0) & (place < self.counts[rows][:, None])
        begins = self.ends[rows] - self.counts[rows]
        return (begins[:, None] + place).clamp(0, int(self.ends[-1]) - 1), inside
