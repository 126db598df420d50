"""One comparison is one row: largest error relative to the stage's peak, equality of whole numbers, the verdict.

Knows nothing of what is compared. A value that is not a number fails.
"""

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from enum import StrEnum

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray
from torch import Tensor

TENSOR_BOUND = 1e-4
"""Of float tensors in fp32, relative to the stage's peak."""
INT16_BOUND = 2
"""Of samples, modulo 65536: upstream wraps +1.0 around to -32768."""


class Verdict(StrEnum):
    PASS = "pass"  # noqa: S105 - a verdict, no password
    FAIL = "FAIL"
    EXCUSED = "excused"
    """An entry of the table of exceptions covers it."""


@dataclass(frozen=True, slots=True)
class Row:
    """One stage of one case."""

    case: str
    stage: str
    verdict: Verdict
    error: float | None = None
    """Largest difference, over the peak of what upstream computed; of int16 in steps."""
    equal: bool | None = None
    """Of whole numbers: are they the same?"""
    note: str = ""


@dataclass
class Stage:
    """Collects the comparisons of one stage into one row."""

    case: str
    name: str
    bound: float = TENSOR_BOUND
    error: float = 0.0
    compared: int = 0
    notes: list[str] = field(default_factory=list)

    def tensors(self, ours: Tensor | ArrayLike, theirs: ArrayLike, what: str = "") -> None:
        """Compares two float tensors of one shape; another shape fails."""
        mine, golden = _array(ours), np.asarray(theirs, dtype=np.float64)
        self.compared += 1
        if mine.shape != golden.shape:
            self.notes.append(f"{what or self.name}: shape {mine.shape}, upstream has {golden.shape}")
            self.error = float("inf")
            return
        error = relative_error(mine, golden)
        if not (error <= self.error or math.isnan(self.error)):  # NaN is the worst there is
            self.error = error
            if not error <= self.bound:
                self.notes.append(f"{what}: {error:.1e}" if what else "")

    def row(self) -> Row:
        passed = self.compared > 0 and self.error <= self.bound
        notes = [note for note in self.notes if note]
        return Row(
            self.case,
            self.name,
            Verdict.PASS if passed else Verdict.FAIL,
            error=self.error if self.compared else None,
            note=notes[-1] if notes else "" if self.compared else "nothing was compared",
        )


def relative_error(ours: NDArray[np.float64], theirs: NDArray[np.float64]) -> float:
    """Largest difference over the peak of `theirs`; NaN where either holds one."""
    if not theirs.size:
        return 0.0
    peak = float(np.abs(theirs).max())
    difference = float(np.abs(ours - theirs).max())
    return difference / peak if peak else (0.0 if difference == 0 else float("inf"))


def whole_numbers(case: str, stage: str, ours: Iterable[int], theirs: Iterable[int]) -> Row:
    """Compares two lists of ids; all must be equal."""
    mine, golden = list(ours), list(theirs)
    if mine == golden:
        return Row(case, stage, Verdict.PASS, equal=True)
    return Row(case, stage, Verdict.FAIL, equal=False, note=_first_difference(mine, golden))


def int16_samples(case: str, stage: str, ours: NDArray[np.int16], theirs: NDArray[np.int16]) -> Row:
    """Compares samples modulo 65536."""
    if ours.shape != theirs.shape:
        return Row(case, stage, Verdict.FAIL, note=f"{ours.size} samples, upstream has {theirs.size}")
    steps = (ours.astype(np.int64) - theirs.astype(np.int64)) % 65536
    error = int(np.minimum(steps, 65536 - steps).max(initial=0))
    return Row(case, stage, Verdict.PASS if error <= INT16_BOUND else Verdict.FAIL, error=error)


def failed(case: str, stage: str, note: str) -> Row:
    return Row(case, stage, Verdict.FAIL, note=note)


def excuse(row: Row, note: str) -> Row:
    return replace(row, verdict=Verdict.EXCUSED, note=note)


def _array(value: Tensor | ArrayLike) -> NDArray[np.float64]:
    if isinstance(value, torch.Tensor):
        return value.detach().cpu().double().numpy()
    return np.asarray(value, dtype=np.float64)


def _first_difference(ours: Sequence[int], theirs: Sequence[int]) -> str:
    for place, (mine, golden) in enumerate(zip(ours, theirs, strict=False)):
        if mine != golden:
            return f"first difference at {place}: {mine}, upstream has {golden}"
    return f"{len(ours)} of them, upstream has {len(theirs)}"
