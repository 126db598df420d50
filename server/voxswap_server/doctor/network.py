"""Addresses, keys, caches that others share. Knows nothing of the machine and of the store."""

import socket
import stat
from collections.abc import Iterator
from importlib.util import find_spec

from voxswap_server.app import listening, secured
from voxswap_server.auth import open_to_all
from voxswap_server.doctor.findings import Finding, good, problem, warning
from voxswap_server.engine.conditioning import describe, problems
from voxswap_server.errors import VoxswapError
from voxswap_server.settings import Settings, unknown_variables


def environment(_settings: Settings) -> Iterator[Finding]:
    found = [warning(line, "rename or unset it") for line in unknown_variables()]
    yield from found or [good("every VOXSWAP_ variable is known")]


def security(settings: Settings) -> Iterator[Finding]:
    try:
        authenticator = secured(settings)
        tls = settings.security.tls
        if tls:
            tls.context()
    except VoxswapError as error:
        yield problem(error.message, "see docs/SECURITY.md")
        return
    yield good(f"{'TLS' if tls else 'plain text'}, {authenticator.describe()}")
    for what, address in listening(settings).items():
        if open_to_all(address, settings.security):
            yield warning(
                f"{what} is {address!r}: whoever reaches it may do everything",
                "set security.keys_file or tls_client_ca",
            )
    for path in (settings.security.keys_file, settings.security.tls_private_key):
        if path and stat.S_IMODE(path.stat().st_mode) & 0o077:
            yield warning(f"{path.name} can be read by others on this machine", f"chmod 600 {path}")


def addresses(settings: Settings) -> Iterator[Finding]:
    for what, (host, port) in _ports(settings).items():
        if port == 0:
            yield good(f"{what}: any free port of {host}")
            continue
        refusal = _refusal(host, port)
        if refusal:
            yield problem(f"{what}: {host}:{port} cannot be bound: {refusal}", "is a server running there already?")
        else:
            yield good(f"{what}: {host}:{port} is free")


def cache(settings: Settings) -> Iterator[Finding]:
    found = [warning(line, "start what it names, or take it out of the settings") for line in problems(settings.cache)]
    yield from found or [good(describe(settings.cache))]


def tracing(settings: Settings) -> Iterator[Finding]:
    endpoint = settings.tracing.endpoint
    if not endpoint:
        yield good("off")
    elif find_spec("opentelemetry") is None or find_spec("opentelemetry.exporter") is None:
        yield problem("tracing.endpoint is set, and OpenTelemetry is not installed", "pip install voxswap[otel]")
    else:
        yield good(f"to {endpoint}")


def _ports(settings: Settings) -> dict[str, tuple[str, int]]:
    ports = {}
    host, _, port = settings.rpc.address.rpartition(":")
    if port.isdigit() and not settings.rpc.address.startswith("unix"):
        ports["gRPC"] = (host.strip("[]"), int(port))
    if settings.http.port is not None:
        ports["HTTP"] = (settings.http.host, settings.http.port)
    if settings.http.wyoming.port is not None:
        ports["Wyoming"] = (settings.http.wyoming.host, settings.http.wyoming.port)
    if settings.metrics.enabled:
        ports["metrics"] = (settings.metrics.host, settings.metrics.port)
    return ports


def _refusal(host: str, port: int) -> str:
    """Why an address cannot be bound; "" when it can."""
    try:
        family, _, _, _, address = socket.getaddrinfo(host or "0.0.0.0", port, type=socket.SOCK_STREAM)[0]  # noqa: S104
        with socket.socket(family, socket.SOCK_STREAM) as trial:
            trial.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            trial.bind(address)
            trial.listen()
    except OSError as error:
        return error.strerror or str(error)
    return ""
