"""Stage `speakers`: what the teacher of ECAPA says of many clips.

A clip is a stretch of a spoken row, played faster or slower: that makes another speaker of it, and the teacher hears
the changed clip. Knows nothing of ECAPA.
"""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Self

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional as F

from voxswap_training.sound import CONTENT_RATE_HZ, Sound

CLIP_SAMPLES = 3 * CONTENT_RATE_HZ
_PLAIN_SHARE = 0.3
_STRETCH = (0.8, 1.25)
_STEP_SAMPLES = 160


@dataclass(frozen=True, slots=True)
class Clips:
    """All fields have one row a clip."""

    row: NDArray[np.int64]
    first_sample: NDArray[np.int64]
    stretch: NDArray[np.float32]
    embedding: NDArray[np.float32]
    """(clips, 192), of length 1."""

    def save(self, file: Path) -> None:
        np.savez(file, **{name: getattr(self, name) for name in self.__slots__})

    @classmethod
    def load(cls, file: Path) -> Self:
        with np.load(file) as kept:
            return cls(**{name: kept[name] for name in cls.__slots__})


def cut(sound: Sound, rows: Tensor, first: Tensor, stretch: float) -> Tensor:
    """Clips (B, CLIP_SAMPLES) of rows at 16 kHz, `stretch` times as fast."""
    source = round(CLIP_SAMPLES * stretch)
    wave = sound.rows(rows, first, source)
    return F.interpolate(wave[:, None], CLIP_SAMPLES, mode="linear")[:, 0]


def ask_teacher(
    sound: Sound, teacher: Callable[[Tensor], Tensor], *, count: int, seed: int, report: Callable[[int], None]
) -> Clips:
    """Draws clips and embeds them.

    Args:
        sound: rows at 16 kHz.
        teacher: samples (n,) -> (192,).
        count: of clips.
        seed: of the draw.
        report: told how many are done.
    """
    rng = np.random.default_rng(seed)
    rows = rng.integers(0, len(sound.counts), count)
    stretch = np.where(rng.random(count) < _PLAIN_SHARE, 1.0, rng.uniform(*_STRETCH, count)).astype(np.float32)
    room = np.maximum(0, sound.counts.numpy()[rows] - (CLIP_SAMPLES * stretch).astype(np.int64))
    first = rng.integers(0, room + 1) // _STEP_SAMPLES * _STEP_SAMPLES
    embeddings = []
    for number in range(count):
        index = torch.tensor([rows[number]])
        clip = cut(sound, index, torch.tensor([first[number]]), float(stretch[number]))
        embeddings.append(teacher(clip[0]).numpy())
        if (number + 1) % 200 == 0:
            report(number + 1)
    return Clips(rows, first, stretch, np.stack(embeddings))
