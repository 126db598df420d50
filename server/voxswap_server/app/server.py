"""A whole server: the order in which it starts, and the opposite one in which it drains.

Knows nothing of what its parts are made of: `engine` and `transports` build them.
"""

import asyncio
import signal
from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack, asynccontextmanager, contextmanager
from dataclasses import dataclass

import structlog
import torch
from prometheus_client import CollectorRegistry, GCCollector, ProcessCollector

import voxswap_server
from voxswap_server.app.access import listening, secured
from voxswap_server.app.engine import Engine, build_engine
from voxswap_server.app.readiness import make_ready
from voxswap_server.app.transports import drain, http_server, rpc_server, serve_metrics, wyoming_server
from voxswap_server.app.upkeep import audit_residency, follow_store, keep_up, publish_levels
from voxswap_server.auth import open_to_all
from voxswap_server.errors import ConfigError
from voxswap_server.http.server import HttpServer
from voxswap_server.http.wyoming import WyomingServer
from voxswap_server.logs import configure
from voxswap_server.metrics import Metrics
from voxswap_server.rpc.server import RpcServer
from voxswap_server.settings import Settings, unknown_variables
from voxswap_server.tracing import NO_TRACING, Tracing, TracingConfig

log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Running:
    """A server that serves."""

    engine: Engine
    rpc: RpcServer
    http: HttpServer | None
    """None without the gateway."""
    wyoming: WyomingServer | None
    registry: CollectorRegistry
    metrics_url: str
    """"" when metrics are off."""


@asynccontextmanager
async def running(
    settings: Settings, registry: CollectorRegistry | None = None, tracing: Tracing | None = None
) -> AsyncIterator[Running]:
    """A server, from its start to its drain.

    Args:
        settings: of all of it.
        registry: where its metrics are; None makes one.
        tracing: where spans go; None is what the settings say.

    Raises:
        VoxswapError: a setting cannot be honoured (the device is not there, say).
        OSError: an address cannot be bound.
    """
    authenticator = secured(settings)
    registry = registry or CollectorRegistry()
    metrics = Metrics(registry, voice_labels=settings.metrics.voice_labels)
    async with AsyncExitStack() as stack:
        tracing = tracing or stack.enter_context(_traced(settings.tracing))
        engine = await stack.enter_async_context(build_engine(settings, metrics, tracing))
        metrics.build(version=voxswap_server.__version__, torch=torch.__version__, device=str(engine.device.device))
        rpc = rpc_server(settings, engine, metrics, authenticator, tracing)
        await rpc.start()
        http = http_server(settings, engine, metrics, authenticator, tracing)
        wyoming = wyoming_server(settings, engine, metrics)
        stack.push_async_callback(drain, rpc, http, wyoming, settings.http.drain_grace_s)
        url = serve_metrics(settings, registry, authenticator, stack)
        ProcessCollector(registry=registry)
        GCCollector(registry)
        publish_levels(engine, metrics)
        for work in (authenticator.follow(), follow_store(engine, rpc), audit_residency(engine.residency)):
            keep_up(stack, work)
        await make_ready(settings, engine, rpc)
        if http is not None:
            await http.start()
        if wyoming is not None:
            await wyoming.start()
        yield Running(engine, rpc, http, wyoming, registry, url)


async def serve(settings: Settings) -> None:
    """Serves until SIGTERM or SIGINT, then drains."""
    configure(settings.logs)
    for line in unknown_variables():
        log.warning("environment", problem=line)
    for what, address in listening(settings).items():
        if open_to_all(address, settings.security):
            log.warning("open to all", setting=what, address=address, remedy="security.keys_file or tls_client_ca")
    stop, loop = asyncio.Event(), asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    async with running(settings) as server:
        log.info(
            "serving",
            address=settings.rpc.address,
            port=server.rpc.port,
            http=server.http.url if server.http else "",
            wyoming=server.wyoming.port if server.wyoming else None,
            metrics=server.metrics_url,
            device=str(server.engine.device.device),
            voices=len(server.engine.catalogue.ids()),
        )
        await stop.wait()
        log.info("draining", grace_s=settings.rpc.drain_grace_s)


@contextmanager
def _traced(config: TracingConfig) -> Iterator[Tracing]:
    """Where spans go, until the block ends.

    Raises:
        ConfigError: they shall go somewhere, and the library for that is not installed.
    """
    if not config.endpoint:
        yield NO_TRACING
        return
    try:
        from voxswap_server.tracing.otel import OtelTracing
    except ModuleNotFoundError as missing:
        raise ConfigError(f"tracing.endpoint needs {missing.name}: pip install voxswap[otel]") from None
    traced = OtelTracing(config, voxswap_server.__version__)
    try:
        yield traced
    finally:
        traced.close()
