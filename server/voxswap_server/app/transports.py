"""The servers in front of an engine: gRPC, HTTP, Wyoming and metrics, and how all of them drain.

Knows nothing of what the engine is made of.
"""

import asyncio
from contextlib import AsyncExitStack

from prometheus_client import CollectorRegistry

from voxswap_server.app.engine import Engine
from voxswap_server.auth import Authenticator, Scope, credentials_of
from voxswap_server.exposition import MetricsServer
from voxswap_server.http.gateway import Services as HttpServices
from voxswap_server.http.server import HttpServer
from voxswap_server.http.wyoming import WyomingServer
from voxswap_server.metrics import Metrics
from voxswap_server.rpc.server import RpcServer
from voxswap_server.rpc.server import Services as RpcServices
from voxswap_server.settings import Settings
from voxswap_server.tracing import Tracing


def rpc_server(
    settings: Settings, engine: Engine, metrics: Metrics, authenticator: Authenticator, tracing: Tracing
) -> RpcServer:
    services = RpcServices(engine.synthesizer, engine.library, engine.residency, engine.speakers, engine.live)
    tls = settings.security.tls
    return RpcServer(services, settings.rpc, metrics, authenticator=authenticator, tls=tls, tracing=tracing)


def http_server(
    settings: Settings, engine: Engine, metrics: Metrics, authenticator: Authenticator, tracing: Tracing
) -> HttpServer | None:
    """It listens only once the server is ready: whoever can connect is served."""
    if settings.http.port is None:
        return None
    return HttpServer(_services(engine), settings.http, metrics, authenticator, settings.security.tls, tracing=tracing)


def wyoming_server(settings: Settings, engine: Engine, metrics: Metrics) -> WyomingServer | None:
    if settings.http.wyoming.port is None:
        return None
    return WyomingServer(_services(engine), settings.http.wyoming, metrics)


def serve_metrics(
    settings: Settings, registry: CollectorRegistry, authenticator: Authenticator, stack: AsyncExitStack
) -> str:
    """Serves them until the stack unwinds; returns their URL, "" when they are off."""
    if not settings.metrics.enabled:
        return ""
    tls = settings.security.tls
    server = MetricsServer(
        registry,
        settings.metrics.host,
        settings.metrics.port,
        admit=lambda headers: authenticator.authorize(credentials_of(headers), Scope.METRICS),
        tls=tls.context() if tls else None,
    )
    stack.callback(server.close)
    return server.url


async def drain(rpc: RpcServer, http: HttpServer | None, wyoming: WyomingServer | None, grace_s: float) -> None:
    """All at once: they have the same time."""
    others = (*([http.drain()] if http else []), *([wyoming.drain(grace_s)] if wyoming else []))
    await asyncio.gather(rpc.drain(), *others)


def _services(engine: Engine) -> HttpServices:
    return HttpServices(engine.synthesizer, engine.library, engine.residency, engine.live)
