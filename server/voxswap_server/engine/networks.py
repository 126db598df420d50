"""The networks that all voices share: the content encoder, the text encoder, the speaker-vector network.

Each is loaded at first use, once, off the device thread, and held from then on. Knows nothing of requests.
"""

import threading
from collections.abc import Callable, Mapping
from concurrent.futures import Executor, Future
from typing import Any

from voxswap_server.errors import AssetMissing


class SharedNetworks:
    """Single-flight, lazy loading by name.

    Args:
        loaders: how to load each network; raises `AssetMissing` while its files are not there.
        executor: where loading runs.
    """

    def __init__(self, loaders: Mapping[str, Callable[[], Any]], executor: Executor) -> None:
        self._loaders = loaders
        self._executor = executor
        self._lock = threading.Lock()
        self._loaded: dict[str, Future[Any]] = {}

    def get(self, name: str) -> "Future[Any]":
        """The network, or the error of loading it. A failure is not remembered: the next call tries again."""
        with self._lock:
            future = self._loaded.get(name)
            if future is None or (future.done() and future.exception() is not None):
                future = self._loaded[name] = self._executor.submit(self._loaders[name])
            return future

    def available(self, name: str) -> bool:
        """Whether it is loaded or can be; does not wait."""
        future = self.get(name)
        return not (future.done() and isinstance(future.exception(), AssetMissing))
