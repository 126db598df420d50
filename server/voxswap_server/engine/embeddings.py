"""A cache of speaker embeddings by content, each computed once however many ask for it at the same time.

Knows nothing of audio or networks: keys are content addresses, values vectors. May be used from any thread.
"""

import threading
from collections.abc import Callable
from concurrent.futures import Executor, Future

import numpy as np
from cachetools import LRUCache
from numpy.typing import NDArray

from voxswap_server.engine.conditioning import Lookups

Key = tuple[str, str]
"""sha256 of the audio file, address of the weights: an entry is right for ever, so none grows stale."""
Vector = NDArray[np.float32]


class EmbeddingCache:
    """Least recently used embeddings go first.

    Args:
        entries: how many are kept.
        executor: where they are computed; its work must never wait for this cache.
        lookups: counts look-ups; whoever joins a computation under way is a hit.
    """

    def __init__(self, entries: int, executor: Executor, lookups: Lookups) -> None:
        self._executor = executor
        self._lookups = lookups
        self._lock = threading.Lock()
        self._cache: LRUCache[Key, Vector] = LRUCache(entries)
        self._underway: dict[Key, Future[Vector]] = {}

    def get(self, key: Key, compute: Callable[[], Vector]) -> "Future[Vector]":
        """The embedding, or the error of computing it; an error is not kept, so the next call tries again.

        The future is shared: do not cancel it.
        """
        future, hit = self._find(key)
        self._lookups.found(hit=hit)
        if not hit:
            try:
                self._executor.submit(self._fill, key, future, compute)
            except RuntimeError as closed:  # the pool is shut down: whoever joined meanwhile is told too
                self._settle(key)
                future.set_exception(closed)
        return future

    def _find(self, key: Key) -> "tuple[Future[Vector], bool]":
        with self._lock:
            cached, future = self._cache.get(key), self._underway.get(key)
            hit = cached is not None or future is not None
            if future is None:
                future = Future()
                if cached is not None:
                    future.set_result(cached)
                else:
                    self._underway[key] = future
            return future, hit

    def _fill(self, key: Key, future: "Future[Vector]", compute: Callable[[], Vector]) -> None:
        try:
            vector = compute()
        except BaseException as error:  # whatever it is, whoever waits must be told
            self._settle(key)
            future.set_exception(error)
        else:
            self._settle(key, vector)
            future.set_result(vector)

    def _settle(self, key: Key, vector: Vector | None = None) -> None:
        with self._lock:
            del self._underway[key]
            if vector is not None:
                self._cache[key] = vector
