"""Memory for many tensors at once: one stretch of it, taken from the system in large pages, and used again.

Knows nothing of files. The first touch of every page of new memory is a call into the kernel that fills it with zeros,
which takes as long as reading a voice into it. So pages are large where the kernel has such, and a stretch that nobody
refers to any more is kept for the next voice, which is mostly as long.
"""

import mmap
import threading
import weakref
from typing import Final

import numpy as np
import torch
from torch import Tensor

LARGE_BYTES: Final = 4 << 20
"""From here on stretches of their own pay."""
_SLACK: Final = 1.25
"""A stretch is used again for what fills most of it."""


class Blocks:
    """Gives out memory, and keeps some of what comes back.

    Args:
        keep_bytes: how much of what nobody uses is kept at most; 0 is nothing.
    """

    def __init__(self, keep_bytes: int = 0) -> None:
        self._keep_bytes = keep_bytes
        self._lock = threading.RLock()  # the garbage collector may find a stretch in mid-step
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

    def keep_at_most(self, keep_bytes: int) -> None:
        """From now on, of what nobody uses."""
        with self._lock:
            self._keep_bytes = keep_bytes
            self._trim()

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
            self._trim()

    def _trim(self) -> None:
        while self._spare and sum(map(len, self._spare)) > self._keep_bytes:
            self._spare.pop(0)


def _new(size_bytes: int) -> mmap.mmap:
    area = mmap.mmap(-1, size_bytes, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
    if hasattr(mmap, "MADV_HUGEPAGE"):  # Linux
        area.madvise(mmap.MADV_HUGEPAGE)
    return area
