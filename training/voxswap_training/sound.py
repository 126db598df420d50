"""The corpus' sound at the decoder's rate, wherever training runs.

Knows nothing of networks. All rows lie in one array; a batch is gathered by index, on the device itself if it holds
the array.
"""

from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from typing import Final

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.signal import resample_poly
from torch import Tensor

from voxswap_training.pack import Lines
from voxswap_training.ragged import Rows

RATE_HZ: Final = 32_000
CONTENT_RATE_HZ: Final = 16_000
_PER_JOB = 200


def write_resampled(lines: Lines, audio: NDArray[np.int16], target: Path, *, rate_hz: int, processes: int) -> None:
    """Resamples every row by itself from 24 kHz; `audio` holds the rows end to end, and so does what is written."""
    ends = np.cumsum(lines.samples)
    rows = [audio[end - count : end] for end, count in zip(ends, lines.samples, strict=True)]
    jobs = [(rows[first : first + _PER_JOB], rate_hz) for first in range(0, len(rows), _PER_JOB)]
    with target.open("wb") as out, ProcessPoolExecutor(processes) as pool:
        for resampled in pool.map(_resample, jobs):
            out.write(resampled.tobytes())


def resampled_counts(lines: Lines, rate_hz: int) -> NDArray[np.int64]:
    """Samples of each row at another rate; the corpus' lengths are multiples of 25 ms, so this is exact."""
    return lines.samples * rate_hz // 24_000


def _resample(job: tuple[Sequence[NDArray[np.int16]], int]) -> NDArray[np.int16]:
    rows, rate_hz = job
    divisor = int(np.gcd(rate_hz, 24_000))
    pieces = []
    for row in rows:
        changed = resample_poly(row.astype(np.float32), rate_hz // divisor, 24_000 // divisor)
        pieces.append(np.clip(np.round(changed), -32768, 32767).astype(np.int16)[: len(row) * rate_hz // 24_000])
    return np.concatenate(pieces)


class Sound:
    """Rows of samples on one device."""

    def __init__(self, file: Path, counts: NDArray[np.int64], device: torch.device) -> None:
        samples = torch.from_numpy(np.memmap(file, np.int16, "c"))
        self._samples = samples.to(device) if device.type == "cuda" else samples
        self._rows = Rows.of(torch.from_numpy(counts))
        if int(self._rows.ends[-1]) != len(samples):
            raise ValueError(f"{file} has {len(samples)} samples, its rows have {int(self._rows.ends[-1])}")

    @property
    def counts(self) -> Tensor:
        """Samples of each row."""
        return self._rows.counts

    def rows(self, rows: Tensor, first: Tensor, length: int) -> Tensor:
        """Stretches of rows, zeros beyond their ends.

        Args:
            rows: (B,) which.
            first: (B,) from which sample on.
            length: of every stretch.

        Returns:
            (B, length) float32 in -1..1
        """
        index, inside = (x.to(self._samples.device) for x in self._rows.stretches(rows, first, length))
        return self._samples[index].float() / 32768 * inside
