"""Shared networks by their content: whoever keeps what a network made must know which one made it.

Knows nothing of what they compute.
"""

from collections.abc import Callable, Generator
from concurrent.futures import Future
from contextlib import AbstractContextManager
from typing import Any, Protocol

from voxswap_server.engine.job import Await, DeviceCall, Work
from voxswap_server.engine.residency.contract import Lease, network_id


class NetworkLeases(Protocol):
    """Where shared networks are leased."""

    def lease_later(self, voice_id: str) -> AbstractContextManager["Future[Lease[Any]]"]: ...


class OtherNetwork(Exception):
    """The network in memory is not the one that a key was made for: the store has another one by now."""

    def __init__(self, name: str, address: str) -> None:
        super().__init__(name)
        self.name = name
        self.address = address
        """Of the one in memory."""


def computed_by(
    networks: NetworkLeases, name: str, address: str, call: Callable[[Any], DeviceCall]
) -> Generator[Work, Any, Any]:
    """The result of a call of a shared network.

    Args:
        networks: where it is leased.
        name: of it.
        address: of its content, as the caller believes.
        call: makes the call of the network.

    Raises:
        OtherNetwork: it is another one.
        AssetMissing: it is not installed.
    """
    with networks.lease_later(network_id(name)) as pending:
        lease: Lease[Any] = yield Await(pending)
        if lease.revision != address:
            raise OtherNetwork(name, lease.revision)
        return (yield call(lease.bundle))
