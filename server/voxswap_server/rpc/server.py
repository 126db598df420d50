"""Puts the gRPC server together, and takes it down in order.

Knows nothing of what stands behind the services, of settings files or of signals.
"""

import asyncio
import time
from collections.abc import Callable
from dataclasses import dataclass, field

from grpc import aio
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection

from voxswap.v1 import (
    model_admin_service_pb2,
    model_admin_service_pb2_grpc,
    speech_service_pb2,
    speech_service_pb2_grpc,
    voice_service_pb2,
    voice_service_pb2_grpc,
)
from voxswap_server.auth import Authenticator, TlsFiles
from voxswap_server.domain import ModelAdmin, SpeakerEmbedder, Synthesizer, VoiceLibrary
from voxswap_server.domain_live import LiveSynthesizer
from voxswap_server.door import Door
from voxswap_server.errors import ConfigError
from voxswap_server.rpc.admin import ModelAdminServicer
from voxswap_server.rpc.guard import Guard
from voxswap_server.rpc.health import Health
from voxswap_server.rpc.listening import listen
from voxswap_server.rpc.telemetry import RpcMetrics, Telemetry
from voxswap_server.rpc.tts import SpeechServicer
from voxswap_server.rpc.uploads import UploadLimits
from voxswap_server.rpc.voices import VoiceServicer
from voxswap_server.tracing import NO_TRACING, Tracing

SERVICES = tuple(
    module.DESCRIPTOR.services_by_name[name].full_name
    for module, name in (
        (speech_service_pb2, "SpeechService"),
        (voice_service_pb2, "VoiceService"),
        (model_admin_service_pb2, "ModelAdminService"),
    )
)
SETTLE_S = 0.5
"""After the last request: time for its status to leave, and for health watchers to hear of the end."""


@dataclass(frozen=True, slots=True)
class RpcConfig:
    address: str = "127.0.0.1:50051"
    """host:port (port 0 picks a free one) or unix:path."""
    max_message_bytes: int = 4 * 1024**2
    """gRPC's own default; clients would have to raise theirs too."""
    max_concurrent_streams: int = 256
    """Calls at once on one connection."""
    min_ping_interval_s: float = 10.0
    """A client that pings more often is disconnected."""
    keepalive_s: float = 60.0
    """After so long a silence the server asks whether the client is still there."""
    keepalive_timeout_s: float = 20.0
    drain_notice_s: float = 0.0
    """How long the server still takes work after its health said NOT_SERVING, so that balancers can turn away."""
    drain_grace_s: float = 30.0
    """How long running requests may take to end before they are cancelled."""
    max_uploads: int = 2
    """CreateVoice calls at once."""
    uploads: UploadLimits = field(default_factory=UploadLimits)


@dataclass(frozen=True, slots=True)
class Services:
    """What stands behind the servicers."""

    synthesizer: Synthesizer
    library: VoiceLibrary
    admin: ModelAdmin
    embedder: SpeakerEmbedder
    live: LiveSynthesizer


class RpcServer:
    """A gRPC server with all services on it. Build, start, drain: once each.

    Args:
        services: what is behind it.
        config: where it listens, and its limits.
        metrics: told of each request that ends.
        clock: monotonic seconds.
        authenticator: who may call what; None lets everyone do everything.
        tls: None speaks plain text.
        tracing: where spans of calls go.
    """

    def __init__(
        self,
        services: Services,
        config: RpcConfig,
        metrics: RpcMetrics,
        clock: Callable[[], float] = time.monotonic,
        *,
        authenticator: Authenticator | None = None,
        tls: TlsFiles | None = None,
        tracing: Tracing = NO_TRACING,
    ) -> None:
        self.health = Health(SERVICES)
        self.port = 0
        """Bound port, once started; 0 for a unix socket."""
        self._config = config
        self._door = Door()
        self._drained = False
        self._tls = tls
        telemetry = Telemetry(metrics, self._door, Guard(authenticator or Authenticator()), clock, tracing)
        self._server = aio.server(interceptors=[telemetry], options=_options(config))
        self._add(services)

    def _add(self, services: Services) -> None:
        config, server = self._config, self._server
        speech_service_pb2_grpc.add_SpeechServiceServicer_to_server(
            SpeechServicer(services.synthesizer, services.live, config.max_message_bytes), server
        )
        voice_service_pb2_grpc.add_VoiceServiceServicer_to_server(
            VoiceServicer(services.library, services.embedder, config.uploads, config.max_uploads), server
        )
        model_admin_service_pb2_grpc.add_ModelAdminServiceServicer_to_server(ModelAdminServicer(services.admin), server)
        health_pb2_grpc.add_HealthServicer_to_server(self.health.servicer, server)
        health_name = health_pb2.DESCRIPTOR.services_by_name["Health"].full_name
        reflection.enable_server_reflection((*SERVICES, health_name, reflection.SERVICE_NAME), server)

    async def start(self) -> None:
        """Binds and listens. The services are not ready until `health.set_ready` says so.

        Raises:
            ConfigError: a file of TLS cannot be read.
            OSError: the address cannot be bound.
        """
        try:
            self.port = listen(self._server, self._config.address, self._tls)
        except (ConfigError, OSError):
            await self._server.stop(None)
            raise
        await self.health.set_ready(False)
        await self._server.start()

    async def drain(self) -> bool:
        """NOT_SERVING, then no new work, then the end of running work, then stop. False if some work was cut off."""
        if self._drained:
            await self._server.wait_for_termination()
            return True
        self._drained = True
        await self.health.drain()
        await asyncio.sleep(self._config.drain_notice_s)
        finished = await self._door.close(self._config.drain_grace_s)
        await self._server.stop(SETTLE_S)
        return finished


def _options(config: RpcConfig) -> list[tuple[str, int]]:
    return [
        ("grpc.max_receive_message_length", config.max_message_bytes),
        ("grpc.max_send_message_length", config.max_message_bytes),
        ("grpc.max_concurrent_streams", config.max_concurrent_streams),
        ("grpc.http2.min_recv_ping_interval_without_data_ms", round(config.min_ping_interval_s * 1000)),
        ("grpc.keepalive_permit_without_calls", 1),
        ("grpc.keepalive_time_ms", round(config.keepalive_s * 1000)),
        ("grpc.keepalive_timeout_ms", round(config.keepalive_timeout_s * 1000)),
        # Two servers on one port would each get some of the calls, and nobody would know.
        ("grpc.so_reuseport", 0),
    ]
