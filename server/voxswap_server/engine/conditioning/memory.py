"""The layer in memory: values as they are, bounded by bytes and by age.

Never blocks, so the device thread may ask it.
"""

import threading
import time
from collections.abc import Callable
from math import inf

from cachetools import TTLCache

from voxswap_server.engine.conditioning.entry import Tensors
from voxswap_server.engine.conditioning.keys import Key
from voxswap_server.engine.conditioning.lookups import Lookups

_OVERHEAD_BYTES = 1024
"""What an entry takes beside the bytes of its tensors, about."""


class Memory:
    """Implements `contract.Layer`. The least recently used goes first, and whatever is older than it may be.

    Args:
        max_bytes: of all values together.
        ttl_s: how old a value may grow; 0: as old as it likes.
        lookups: counts.
        clock: monotonic seconds.
    """

    name = "memory"

    def __init__(
        self, max_bytes: int, ttl_s: float, lookups: Lookups, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._lookups = lookups
        self._lock = threading.Lock()
        self._cache: TTLCache[Key, Tensors] = TTLCache(max_bytes, ttl_s or inf, timer=clock, getsizeof=_size)

    @property
    def used_bytes(self) -> int:
        with self._lock:
            self._cache.expire()
            return int(self._cache.currsize)

    def get(self, key: Key) -> Tensors | None:
        with self._lock:
            tensors = self._cache.get(key)
        self._lookups.found(hit=tensors is not None)
        return tensors

    def put(self, key: Key, tensors: Tensors) -> None:
        """Keeps it, unless it is larger than the whole cache."""
        with self._lock:
            if _size(tensors) <= self._cache.maxsize:
                self._cache[key] = tensors

    def close(self) -> None:
        with self._lock:
            self._cache.clear()


def _size(tensors: Tensors) -> int:
    storages = (tensor.untyped_storage() for tensor in tensors.values())
    return sum({storage.data_ptr(): storage.nbytes() for storage in storages}.values()) + _OVERHEAD_BYTES
