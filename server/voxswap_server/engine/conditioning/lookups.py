"""Counts the look-ups of one cache, for the metrics and for `GetCacheStats`. Thread-safe."""

import threading

from voxswap_server.engine.conditioning.contract import CacheMetrics


class Lookups:
    """Counters of one cache.

    Args:
        name: of the cache, as metrics and operators see it.
        metrics: told of each look-up.
    """

    def __init__(self, name: str, metrics: CacheMetrics) -> None:
        self.name = name
        self._metrics = metrics
        self._lock = threading.Lock()
        self._hits = self._misses = 0

    @property
    def hits(self) -> int:
        return self._hits

    @property
    def misses(self) -> int:
        """Every look-up that did not find the value, whatever the reason."""
        return self._misses

    def found(self, *, hit: bool) -> None:
        self._count("hit" if hit else "miss", hits=hit)

    def corrupt(self) -> None:
        """There was an entry, but it may not be used."""
        self._count("corrupt", hits=False)

    def unavailable(self) -> None:
        """The layer failed, or is left alone because it did."""
        self._count("unavailable", hits=False)

    def _count(self, result: str, *, hits: bool) -> None:
        with self._lock:
            self._hits += hits
            self._misses += not hits
        self._metrics.looked_up(self.name, result)
