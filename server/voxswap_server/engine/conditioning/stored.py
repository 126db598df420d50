"""A layer outside of the process: entries of a store, checked, in bounded time.

Knows neither disks nor Redis. Nothing that a store does is a failure of a request: what cannot be had, or may not be
trusted, is not there.
"""

import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial

import structlog

from voxswap_server.engine.conditioning.contract import Store
from voxswap_server.engine.conditioning.entry import BadEntry, Tensors, decode, encode
from voxswap_server.engine.conditioning.keys import Key
from voxswap_server.engine.conditioning.lookups import Lookups
from voxswap_server.engine.conditioning.switch import Switch

log = structlog.get_logger(__name__)

_THREADS = 4
"""Of reads; a store that hangs holds up this many of them, and nothing else."""


class StoredLayer:
    """Implements `contract.Layer` over a store.

    Args:
        store: where the bytes are.
        lookups: counts.
        timeout_s: of one read, whatever the store itself thinks; a store that takes longer is left alone.
        retry_s: for how long.
        clock: monotonic seconds, for that.
    """

    def __init__(
        self,
        store: Store,
        lookups: Lookups,
        *,
        timeout_s: float,
        retry_s: float,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._store = store
        self._lookups = lookups
        self._timeout_s = timeout_s
        self._readers = ThreadPoolExecutor(_THREADS, f"voxswap-{store.name}")
        self._probers = ThreadPoolExecutor(1, f"voxswap-{store.name}-probe")

        def switch(doing: str) -> Switch:
            probe = partial(store.probe, writing=doing == "write")
            return Switch(store.name, doing, probe, self._probers, retry_s, clock)

        self._reading, self._writing = switch("read"), switch("write")

    @property
    def name(self) -> str:
        return self._store.name

    def get(self, key: Key) -> Tensors | None:
        """As `Layer.get`; blocks no longer than `timeout_s`."""
        if not self._reading.allows():
            self._lookups.unavailable()
            return None
        try:
            data = self._read(key)
        except Exception as error:
            self._reading.failed(error)
            self._lookups.unavailable()
            return None
        if data is None:
            self._lookups.found(hit=False)
            return None
        try:
            tensors = decode(key, data)
        except BadEntry as bad:
            self._spoiled(key, bad)
            return None
        self._lookups.found(hit=True)
        return tensors

    def put(self, key: Key, tensors: Tensors) -> None:
        """As `Layer.put`; may take as long as the store does."""
        if self._reading.allows() and self._writing.allows():
            data = encode(key, tensors)
            try:
                self._store.put(key, data)
            except Exception as error:
                self._writing.failed(error)

    def close(self) -> None:
        for pool in (self._readers, self._probers):
            pool.shutdown(wait=False, cancel_futures=True)
        self._store.close()

    def _read(self, key: Key) -> bytes | None:
        future = self._readers.submit(self._store.get, key)
        try:
            return future.result(self._timeout_s)
        finally:
            future.cancel()  # where it has not begun, behind others that hang

    def _spoiled(self, key: Key, bad: BadEntry) -> None:
        """The value will be computed and written anew; in case nobody does, the entry goes."""
        self._lookups.corrupt()
        log.warning("cache entry not used", layer=self.name, entry=key.name, problem=str(bad))
        try:
            self._store.discard(key)
        except Exception as error:
            self._writing.failed(error)
