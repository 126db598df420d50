"""Values that are made once: in memory, or else in the layers outside of the process, or else computed.

Knows nothing of what the values are. Its routine runs on the device thread, which never waits: layers that may block
are asked in threads of their own, and written behind the answer's back.
"""

import threading
from collections.abc import Callable, Generator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor, wait
from typing import Any

import structlog

from voxswap_server.engine.conditioning.contract import Layer
from voxswap_server.engine.conditioning.entry import Tensors
from voxswap_server.engine.conditioning.keys import Key
from voxswap_server.engine.conditioning.lookups import Lookups
from voxswap_server.engine.conditioning.memory import Memory
from voxswap_server.engine.job import Await, Work

log = structlog.get_logger(__name__)

ValueRoutine = Generator[Work, Any, Tensors]

_READERS = 8
_MAX_WAITING_WRITES = 32
"""More are dropped: whoever needs the value again computes it again."""


class ConditioningCache:
    """Each distinct value is computed once, however many ask for it at the same time.

    Args:
        memory: asked first, by the device thread itself.
        outside: asked in this order after it; what a later one has, the earlier ones are given.
        lookups: counters of every layer, by name.
    """

    def __init__(self, memory: Memory, outside: Sequence[Layer], lookups: Sequence[Lookups]) -> None:
        self._memory = memory
        self._outside = tuple(outside)
        self.lookups = {counter.name: counter for counter in lookups}
        self._underway: dict[Key, Future[Tensors | None]] = {}  # the device thread's own
        self._readers = ThreadPoolExecutor(_READERS, "voxswap-cache")
        self._writer = ThreadPoolExecutor(1, "voxswap-cache-write")
        self._lock = threading.Lock()
        self._writing: set[Future[None]] = set()

    def value(self, key: Key, compute: Callable[[], ValueRoutine]) -> ValueRoutine:
        """The value of a key; whoever computes it, an error or a cancellation is that one's alone."""
        while (found := self._memory.get(key)) is None and (other := self._underway.get(key)) is not None:
            shared: Tensors | None = yield Await(other)
            if shared is not None:  # None: the other one failed or was cancelled; this one does it then
                return shared
        if found is not None:
            return found
        done = self._underway[key] = Future()
        try:
            found = yield from self._found_or_made(key, compute)
            return found
        finally:
            del self._underway[key]
            done.set_result(found)

    def close(self, grace_s: float) -> None:
        """Finishes what is to be written, for so long at most, and lets go of everything. Blocks."""
        with self._lock:
            waiting = set(self._writing)
        if left := wait(waiting, grace_s).not_done:
            log.warning("cache writes given up at shutdown", entries=len(left))
        for pool in (self._readers, self._writer):
            pool.shutdown(wait=False, cancel_futures=True)
        for layer in (self._memory, *self._outside):
            layer.close()

    def _found_or_made(self, key: Key, compute: Callable[[], ValueRoutine]) -> ValueRoutine:
        found: Tensors | None = None
        if self._outside:
            found = yield Await(self._readers.submit(self._look_outside, key))
        if found is None:
            found = yield from compute()
            self._write_behind(key, found, self._outside)
        self._memory.put(key, found)
        return found

    def _look_outside(self, key: Key) -> Tensors | None:
        for index, layer in enumerate(self._outside):
            found = layer.get(key)
            if found is not None:
                self._write_behind(key, found, self._outside[:index])
                return found
        return None

    def _write_behind(self, key: Key, tensors: Tensors, layers: Sequence[Layer]) -> None:
        if not layers:
            return
        with self._lock:
            if len(self._writing) >= _MAX_WAITING_WRITES:
                return
            try:
                future = self._writer.submit(_write, key, tensors, layers)
            except RuntimeError:  # it is closed
                return
            self._writing.add(future)
        future.add_done_callback(self._written)

    def _written(self, future: "Future[None]") -> None:
        with self._lock:
            self._writing.discard(future)
        if not future.cancelled() and (error := future.exception()) is not None:
            log.error("cache write failed", exc_info=error)


def _write(key: Key, tensors: Tensors, layers: Sequence[Layer]) -> None:
    for layer in layers:
        layer.put(key, tensors)
