"""How those who need a shared network take hold of it: in a server of residency, in a command of their own.

Knows nothing of requests, of what the networks are, and of when they come and go: in a server that is residency's
business, which holds voices by the same rules.
"""

import threading
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import Executor, Future
from contextlib import AbstractContextManager, contextmanager
from functools import partial
from typing import Any, Protocol

from voxswap_server.engine.residency.contract import Lease, network_id


class Networks(Protocol):
    """Where whoever computes with a shared network gets it."""

    def lease(self, name: str) -> AbstractContextManager["Future[Any]"]:
        """Until the block ends the network stays in memory. The future gives it, or the error of loading it."""
        ...


class _Residency(Protocol):
    def lease_later(self, voice_id: str) -> AbstractContextManager["Future[Lease[Any]]"]: ...


class ResidentNetworks:
    """Those of a server: leased like voices, in the same budget."""

    def __init__(self, residency: _Residency) -> None:
        self._residency = residency

    @contextmanager
    def lease(self, name: str) -> "Iterator[Future[Any]]":
        """As `Networks.lease`.

        Raises:
            VoxswapError: it failed to load only just now.
        """
        with self._residency.lease_later(network_id(name)) as leased:
            network: Future[Any] = Future()
            leased.add_done_callback(partial(_hand_on, network))
            yield network


def _hand_on(network: "Future[Any]", leased: "Future[Lease[Any]]") -> None:
    error = leased.exception()
    if error is None:
        network.set_result(leased.result().bundle)
    else:
        network.set_exception(error)


class OwnNetworks:
    """Those of a command: each is loaded at first use, once, and held to the end.

    Args:
        loaders: how to load each network; raises `AssetMissing` while its files are not there.
        executor: where loading runs.
    """

    def __init__(self, loaders: Mapping[str, Callable[[], Any]], executor: Executor) -> None:
        self._loaders = loaders
        self._executor = executor
        self._lock = threading.Lock()
        self._loaded: dict[str, Future[Any]] = {}

    @contextmanager
    def lease(self, name: str) -> "Iterator[Future[Any]]":
        """As `Networks.lease`. A failure is not remembered: the next call tries again."""
        with self._lock:
            future = self._loaded.get(name)
            if future is None or (future.done() and future.exception() is not None):
                future = self._loaded[name] = self._executor.submit(self._loaders[name])
        yield future
