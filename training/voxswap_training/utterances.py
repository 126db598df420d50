"""What the stages that make sound train on: utterances with their codes, and a reference of the same voice.

Knows nothing of networks and losses.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from voxswap_training.pack import Lines
from voxswap_training.pitch import Pitch
from voxswap_training.sound import RATE_HZ, Sound

FRAME_SAMPLES: Final = 640
_REFERENCE_S = (3.0, 5.0)
_MANY = 50
"""A voice with so many utterances is one that will be shipped; the others are there to teach what a voice is."""


@dataclass(frozen=True, slots=True)
class Batch:
    tokens: Tensor
    token_counts: Tensor
    phones: Tensor
    phone_counts: Tensor
    samples: Tensor
    """(B, 2T * FRAME_SAMPLES)"""
    pitch: Tensor
    """(B, 2, 2T) of `Pitch`."""
    reference: Tensor
    """(B, n) another utterance of the same voice."""


class Utterances:
    """Draws batches of spoken lines."""

    def __init__(
        self,
        lines: Lines,
        sound: Sound,
        pitch: Pitch,
        device: torch.device,
        *,
        dev: bool,
        seed: int,
        frequent_share: float | None = None,
    ) -> None:
        """`frequent_share`: of what is drawn, by voices with many utterances; None: as they come.

        `rows` are the usable lines, `odds` how often each of them is drawn.
        """
        self._lines, self._sound, self._pitch, self._device = lines, sound, pitch, device
        self._rng = np.random.default_rng(seed)
        spoken = np.arange(lines.spoken)
        voice = lines.voice[: lines.spoken]
        self._mates = {int(name): spoken[(voice == name) & ~lines.dev[: lines.spoken]] for name in np.unique(voice)}
        mates = np.array([len(self._mates[int(name)]) for name in voice])
        usable = (lines.dev[: lines.spoken] == dev) & (mates > 1)
        self.rows = spoken[usable]
        self.odds = odds_of(mates[usable] >= _MANY, frequent_share)

    def batches(self, size: int) -> Iterator[Batch]:
        """Endless; utterances of like length come together."""
        lengths = self._lines.tokens.lengths
        while True:
            pool = self._rng.choice(self.rows, 8 * size, p=self.odds)
            pool = pool[np.argsort(lengths[pool], kind="stable")].reshape(8, size)
            for rows in pool[self._rng.permutation(8)]:
                yield self.batch(rows)

    def batch(self, rows: NDArray[np.int64]) -> Batch:
        """These rows, each with a reference drawn for it."""
        lines, rng = self._lines, self._rng
        tokens, token_counts = _padded([lines.tokens[int(row)] for row in rows])
        phones, phone_counts = _padded([lines.phones[int(row)] for row in rows])
        frames = 2 * tokens.shape[1]
        index = torch.from_numpy(rows)
        start = torch.zeros(len(rows), dtype=torch.long)
        samples = self._sound.rows(index, start, frames * FRAME_SAMPLES)
        pitch = self._pitch.rows(index, start, frames)
        mates = torch.tensor([self._mate(int(row)) for row in rows])
        length = int(rng.uniform(*_REFERENCE_S) * RATE_HZ) // FRAME_SAMPLES * FRAME_SAMPLES
        room = (self._sound.counts[mates] - length).clamp_min(0).numpy()
        reference = self._sound.rows(mates, torch.from_numpy(rng.integers(0, room + 1)), length)
        moved = (x.to(self._device) for x in (tokens, token_counts, phones, phone_counts, samples, pitch, reference))
        return Batch(*moved)

    def _mate(self, row: int) -> int:
        mates = self._mates[int(self._lines.voice[row])]
        return int(self._rng.choice(mates[mates != row]))


def odds_of(frequent: NDArray[np.bool_], share: float | None) -> NDArray[np.float64] | None:
    if share is None or frequent.all() or not frequent.any():
        return None
    return np.where(frequent, share / frequent.sum(), (1 - share) / (~frequent).sum())


def _padded(rows: list[NDArray[np.integer]]) -> tuple[Tensor, Tensor]:
    counts = np.array([len(row) for row in rows])
    whole = np.zeros((len(rows), counts.max()), np.int64)
    for index, row in enumerate(rows):
        whole[index, : len(row)] = row
    return torch.from_numpy(whole), torch.from_numpy(counts)
