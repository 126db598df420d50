"""How to reach a server: address, TLS, keepalive.

Knows nothing of calls.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import grpc
from grpc import aio
from grpc_health.v1 import health_pb2_grpc

from voxswap.v1 import model_admin_service_pb2_grpc, speech_service_pb2_grpc, voice_service_pb2_grpc

DEFAULT_ADDRESS = "localhost:50051"

Stubs = Mapping[str, Any]
"""By service name; each has one callable a method. A test puts its own here."""

_OPTIONS: list[tuple[str, int]] = [
    # Above the server's least interval (10 s), below the patience of usual proxies (60 s).
    ("grpc.keepalive_time_ms", 30_000),
    ("grpc.keepalive_timeout_ms", 10_000),
]

_STUBS = {
    "SpeechService": speech_service_pb2_grpc.SpeechServiceStub,
    "VoiceService": voice_service_pb2_grpc.VoiceServiceStub,
    "ModelAdminService": model_admin_service_pb2_grpc.ModelAdminServiceStub,
    "Health": health_pb2_grpc.HealthStub,
}


@dataclass(frozen=True, slots=True)
class Tls:
    """Encryption, and with a key of one's own, proof of who calls."""

    root_certificates: bytes | None = None
    """PEM; None trusts what gRPC trusts by default."""
    private_key: bytes | None = None
    """PEM; of the client, for mutual TLS."""
    certificate_chain: bytes | None = None
    """PEM; of the client, for mutual TLS."""
    server_name: str = ""
    """Name in the server's certificate, where the address is another."""


def stubs_of(channel: grpc.Channel | aio.Channel) -> Stubs:
    """One stub a service, for either kind of channel."""
    return {name: stub(channel) for name, stub in _STUBS.items()}


def connect(address: str, tls: Tls | None) -> grpc.Channel:
    """A channel for threads. It connects at the first call."""
    if tls is None:
        return grpc.insecure_channel(address, _OPTIONS)
    return grpc.secure_channel(address, _credentials(tls), _options(tls))


def connect_aio(address: str, tls: Tls | None) -> aio.Channel:
    """A channel for the running event loop. It connects at the first call."""
    if tls is None:
        return aio.insecure_channel(address, _OPTIONS)
    return aio.secure_channel(address, _credentials(tls), _options(tls))


def _credentials(tls: Tls) -> grpc.ChannelCredentials:
    return grpc.ssl_channel_credentials(tls.root_certificates, tls.private_key, tls.certificate_chain)


def _options(tls: Tls) -> list[tuple[str, int | str]]:
    name: list[tuple[str, int | str]] = [("grpc.ssl_target_name_override", tls.server_name)] if tls.server_name else []
    return [*_OPTIONS, *name]
