"""All checks, in the order in which they are told. Knows nothing of terminals."""

from collections.abc import Callable, Iterator, Mapping

from voxswap_server.doctor import machine, network, store
from voxswap_server.doctor.findings import Finding
from voxswap_server.settings import Settings

Check = Callable[[Settings], Iterator[Finding]]

CHECKS: Mapping[str, Check] = {
    "device": machine.device,
    "threads": machine.threads,
    "memory": machine.memory,
    "store": store.store,
    "voices": store.voices,
    "networks": store.networks,
    "environment": network.environment,
    "security": network.security,
    "addresses": network.addresses,
    "cache": network.cache,
    "tracing": network.tracing,
}
DEEP: Mapping[str, Check] = {"contents": store.contents}
"""Those that take their time."""


def examine(settings: Settings, *, deep: bool = False) -> Iterator[tuple[str, Finding]]:
    """Yields (name of the check, what it found); `deep`: of those too that take their time."""
    for name, check in ({**CHECKS, **DEEP} if deep else CHECKS).items():
        for finding in check(settings):
            yield name, finding
