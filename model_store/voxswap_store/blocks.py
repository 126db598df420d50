"""Memory for many tensors at once: one stretch of it, taken from the system in large pages, and used again.

Knows nothing of files. The first touch of every page of new memory is a call into the kernel that fills it with zeros,
which takes as long as reading a voice into it. So pages are large where the kernel has such, and a stretch that nobody
refers to any more is kept for the next voice, which is mostly as long.
"""

import math
import mmap
import threading
import weakref
from collections.abc import Mapping
from typing import Final

import numpy as np
import torch
from torch import Tensor

LARGE_BYTES: Final = 4 << 20
"""From here on stretches of their own pay."""
_LINE_BYTES: Final = 64
_SLACK: Final = 1.25
"""A stretch is used again for what fills most of it."""


class Blocks:
    """Gives out memory, and keeps some of what comes back.

    Args:
        keep_bytes: how much of what nobody uses is kept at most; 0 is nothing.
    """

    def __init__(self, keep_bytes: int = 0) -> None:
        self._keep_bytes = keep_bytes
        self._lock = threading.Lock()
        self._spare: list[mmap.mmap] = []
        self._lent: dict[int, int] = {}
        """Of what is in use: where it begins, and its bytes."""

    @property
    def spare_bytes(self) -> int:
        """Kept for the next one."""
        with self._lock:
            return sum(map(len, self._spare))

    def take(self, size_bytes: int) -> Tensor:
        """Memory (size_bytes,) uint8 with anything in it. It comes back when the last tensor over it is gone."""
        if size_bytes < LARGE_BYTES:
            return torch.empty(size_bytes, dtype=torch.uint8)
        area = self._used(size_bytes) or _new(size_bytes)
        exported = np.frombuffer(area, np.uint8, size_bytes)
        weakref.finalize(exported, self._back, area, exported.ctypes.data).atexit = False
        with self._lock:
            self._lent[exported.ctypes.data] = size_bytes
        return torch.from_numpy(exported)

    def is_lent(self, address: int) -> bool:
        """Whether memory that begins there is in use and will come back: the beginning of what `take` gave."""
        with self._lock:
            return address in self._lent

    def clear(self) -> None:
        """Gives the system what nobody uses."""
        with self._lock:
            self._spare.clear()

    def _used(self, size_bytes: int) -> mmap.mmap | None:
        """The shortest spare stretch that fits."""
        with self._lock:
            fitting = [area for area in self._spare if size_bytes <= len(area) <= size_bytes * _SLACK]
            if not fitting:
                return None
            chosen = min(fitting, key=len)
            self._spare.remove(chosen)
            return chosen

    def _back(self, area: mmap.mmap, address: int) -> None:
        """What came back last is kept; what is too much goes, oldest first."""
        with self._lock:
            del self._lent[address]
            self._spare.append(area)
            while self._spare and sum(map(len, self._spare)) > self._keep_bytes:
                self._spare.pop(0)


def _new(size_bytes: int) -> mmap.mmap:
    area = mmap.mmap(-1, size_bytes, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
    if hasattr(mmap, "MADV_HUGEPAGE"):  # Linux
        area.madvise(mmap.MADV_HUGEPAGE)
    return area


def views(shapes: Mapping[str, tuple[int, ...]], dtype: torch.dtype, blocks: Blocks) -> dict[str, Tensor]:
    """Tensors of one dtype with anything in them, in one block without holes."""
    return laid_out(shapes, dtype, blocks)[1]


def laid_out(
    shapes: Mapping[str, tuple[int, ...]], dtype: torch.dtype, blocks: Blocks
) -> tuple[Tensor, dict[str, Tensor]]:
    """The block of `views`, flat, and they in the order in which they follow each other there."""
    counts = {name: math.prod(shape) for name, shape in shapes.items()}
    room = blocks.take(sum(counts.values()) * dtype.itemsize).view(dtype)
    # Those of odd lengths last, so that all others begin on a cache line.
    order = sorted(shapes, key=lambda name: counts[name] * dtype.itemsize % _LINE_BYTES != 0)
    pieces = torch.split(room, [counts[name] for name in order]) if order else ()
    return room, {name: piece.view(shapes[name]) for name, piece in zip(order, pieces, strict=True)}


def converted(tensors: Mapping[str, Tensor], dtype: torch.dtype, blocks: Blocks) -> dict[str, Tensor]:
    """Copies in one dtype, in one block without holes."""
    made = views({name: tuple(tensor.shape) for name, tensor in tensors.items()}, dtype, blocks)
    return {name: made[name].copy_(tensor) for name, tensor in tensors.items()}
