"""The composition root: settings -> store -> engine -> servicers -> servers, and down again in the opposite order.

The only file that sees everything.
"""

import asyncio
import signal
import time
from collections.abc import AsyncIterator, Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import AsyncExitStack, aclosing, asynccontextmanager, contextmanager
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

import structlog
import torch
from prometheus_client import CollectorRegistry, GCCollector, ProcessCollector

import voxswap_server
from voxswap_server.auth import Authenticator, Scope, credentials_of, open_to_all, require_safe_bind
from voxswap_server.domain import AudioFormat, ModelAdmin, SynthesisRequest
from voxswap_server.engine.admission import Admission
from voxswap_server.engine.built_in import bring_built_in
from voxswap_server.engine.conditioning import Lookups, open_cache
from voxswap_server.engine.device import Device, default_budgets, is_exhausted, open_device, out_of_memory
from voxswap_server.engine.embeddings import EmbeddingCache
from voxswap_server.engine.foresight import Foresight
from voxswap_server.engine.importing import PromptImport
from voxswap_server.engine.library import StoreLibrary
from voxswap_server.engine.live.synthesizer import EngineLiveSynthesizer
from voxswap_server.engine.loader import StoreLoader
from voxswap_server.engine.networks import ResidentNetworks
from voxswap_server.engine.polyphones import frontend_options
from voxswap_server.engine.prompt_keys import Ground
from voxswap_server.engine.prompts import Prompts
from voxswap_server.engine.residency import ResidencyConfig, ResidencyManager
from voxswap_server.engine.speakers import Speakers
from voxswap_server.engine.synthesizer import EngineSynthesizer, Services
from voxswap_server.engine.text_encoder import TextEncoding
from voxswap_server.engine.transcript_features import TranscriptFeatures
from voxswap_server.engine.voice import Voice
from voxswap_server.engine.worker import Worker
from voxswap_server.errors import ConfigError, VoxswapError
from voxswap_server.exposition import MetricsServer
from voxswap_server.http.gateway import Services as HttpServices
from voxswap_server.http.server import HttpServer
from voxswap_server.http.wyoming import WyomingServer
from voxswap_server.logs import audit, configure
from voxswap_server.metrics import Metrics
from voxswap_server.rpc.server import RpcServer
from voxswap_server.rpc.server import Services as RpcServices
from voxswap_server.settings import Settings, unknown_variables
from voxswap_server.text.frontend import TextFrontend
from voxswap_server.tracing import NO_TRACING, Tracing, TracingConfig
from voxswap_store.assets import asset_manifest
from voxswap_store.built_in import catalogue_of
from voxswap_store.catalogue import Catalogue

log = structlog.get_logger(__name__)

AUDITED = ("loaded", "evicted", "load_failed")
"""Events of residency that are kept on record; what operators asked for is recorded where they ask."""
CACHE_GRACE_S = 5.0
"""How long what was encoded last may take to reach the layers outside of the process."""
RELIEF_BYTES = 256 * 2**20
"""How much is evicted when a computation finds the device full."""


@dataclass(frozen=True, slots=True)
class Engine:
    """Everything behind the transports."""

    device: Device
    catalogue: Catalogue
    residency: ResidencyManager[Voice]
    worker: Worker
    text: TextEncoding
    synthesizer: EngineSynthesizer
    live: EngineLiveSynthesizer
    library: StoreLibrary
    speakers: Speakers


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
        services = RpcServices(engine.synthesizer, engine.library, engine.residency, engine.speakers, engine.live)
        rpc = RpcServer(
            services, settings.rpc, metrics, authenticator=authenticator, tls=settings.security.tls, tracing=tracing
        )
        await rpc.start()
        http = _gateway(settings, engine, metrics, authenticator, tracing)
        wyoming = _wyoming(settings, engine, metrics)
        stack.push_async_callback(_drained, rpc, http, wyoming, settings.http.drain_grace_s)
        url = _serve_metrics(settings, registry, authenticator, stack)
        ProcessCollector(registry=registry)
        GCCollector(registry)
        _publish_levels(engine, metrics)
        stack.push_async_callback(_ended, asyncio.create_task(authenticator.follow()))
        stack.push_async_callback(_ended, asyncio.create_task(_follow_store(engine, rpc)))
        stack.push_async_callback(_ended, asyncio.create_task(audit_residency(engine.residency)))
        await _make_ready(settings, engine, rpc)
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


@asynccontextmanager
async def build_engine(settings: Settings, metrics: Metrics, tracing: Tracing = NO_TRACING) -> AsyncIterator[Engine]:
    device = open_device(settings.device)
    catalogue = catalogue_of(settings.store, built_in=settings.voices.built_in)
    frontend = TextFrontend(frontend_options(settings.store))
    with (
        ThreadPoolExecutor(settings.pools.text_threads, "voxswap-text") as text_pool,
        ThreadPoolExecutor(settings.pools.audio_threads, "voxswap-audio") as audio_pool,
        ThreadPoolExecutor(2, "voxswap-disk") as disk_pool,
        ThreadPoolExecutor(settings.speakers.threads, "voxswap-speakers") as speaker_pool,
    ):
        cache, prompt_lookups = open_cache(settings.cache, metrics), Lookups("prompts", metrics)
        embeddings = EmbeddingCache(settings.speakers.cache_entries, speaker_pool, metrics)
        residency: ResidencyManager[Voice] = ResidencyManager(
            StoreLoader(catalogue, device, settings.engine),
            _budgeted(settings, device),
            metrics,
            other_caches={"embeddings": embeddings, prompt_lookups.name: prompt_lookups, **cache.lookups},
        )
        residency.start()
        networks = ResidentNetworks(residency)
        address_of, ground = partial(_network_address, settings.store), Ground.of(device)
        transcripts = TranscriptFeatures(cache, residency, address_of, audio_pool, ground)
        text = TextEncoding(frontend, text_pool, networks, transcripts)
        speakers = Speakers(catalogue, residency, speaker_pool, embeddings, settings.speakers)
        worker = Worker(
            settings.scheduling,
            settings.worker,
            metrics,
            on_device_thread=device.run,
            rescue=lambda error: is_exhausted(error) and residency.relieve_blocking(RELIEF_BYTES),
            explain=out_of_memory,
        )
        worker.start()
        admission = Admission(settings.admission, metrics, time.monotonic)
        services = Services(
            admission=admission,
            residency=residency,
            networks=networks,
            foresight=Foresight(catalogue, frontend, text_pool, residency),
            text=text,
            prompts=Prompts(
                text,
                residency,
                address_of,
                audio_pool,
                cache,
                device.device,
                ground,
                prompt_lookups,
                settings.prompts,
            ),
            worker=worker,
            audio_pool=audio_pool,
            metrics=metrics,
            clock=time.monotonic,
            tracing=tracing,
        )
        imports = PromptImport(networks, frontend, settings.prompts)
        try:
            if settings.voices.built_in:
                await asyncio.to_thread(bring_built_in, settings.store, catalogue, imports)
            yield Engine(
                device=device,
                catalogue=catalogue,
                residency=residency,
                worker=worker,
                text=text,
                synthesizer=EngineSynthesizer(services, settings.speech),
                live=EngineLiveSynthesizer(services, settings.live, metrics),
                library=StoreLibrary(catalogue, residency, imports, disk_pool),
                speakers=speakers,
            )
        finally:
            await asyncio.to_thread(worker.stop)
            await asyncio.to_thread(cache.close, CACHE_GRACE_S)
            await residency.aclose()


def _network_address(store: Path, name: str) -> str:
    return asset_manifest(store, name).address


def _budgeted(settings: Settings, device: Device) -> ResidencyConfig:
    on_device, on_host = default_budgets(device)
    config = settings.residency
    return replace(
        config,
        device_budget_bytes=config.device_budget_bytes or on_device,
        host_budget_bytes=config.host_budget_bytes or on_host,
    )


def secured(settings: Settings) -> Authenticator:
    """Who may call what.

    Raises:
        ConfigError: an address is open to others without protection, or the keys cannot be read.
    """
    for what, address in listening(settings).items():
        require_safe_bind(what, address, settings.security)
    if settings.http.wyoming.port is not None:
        _require_open(settings)
    return Authenticator(settings.security.keys_file)


def _require_open(settings: Settings) -> None:
    """The Wyoming protocol has neither keys nor TLS, so it must not be a way around them.

    Raises:
        ConfigError: it would be.
    """
    plain = replace(settings.security, tls_certificate=None, tls_private_key=None, tls_client_ca=None)
    require_safe_bind("http.wyoming.host", settings.http.wyoming.host, plain)
    if settings.security.keys_file is not None or settings.security.tls_client_ca is not None:
        raise ConfigError(
            "callers have to show a key or a certificate, which the Wyoming protocol cannot: unset http.wyoming.port"
        )


def listening(settings: Settings) -> dict[str, str]:
    """Every address that the server will listen on, by the setting that says so."""
    metrics = {"metrics.host": settings.metrics.host} if settings.metrics.enabled else {}
    http = {} if settings.http.port is None else {"http.host": settings.http.host}
    return {"rpc.address": settings.rpc.address} | http | metrics


def _gateway(
    settings: Settings, engine: Engine, metrics: Metrics, authenticator: Authenticator, tracing: Tracing
) -> HttpServer | None:
    """It listens only once the server is ready: whoever can connect is served."""
    if settings.http.port is None:
        return None
    services = HttpServices(engine.synthesizer, engine.library, engine.residency, engine.live)
    return HttpServer(services, settings.http, metrics, authenticator, settings.security.tls, tracing=tracing)


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


def _wyoming(settings: Settings, engine: Engine, metrics: Metrics) -> WyomingServer | None:
    if settings.http.wyoming.port is None:
        return None
    services = HttpServices(engine.synthesizer, engine.library, engine.residency, engine.live)
    return WyomingServer(services, settings.http.wyoming, metrics)


async def _drained(rpc: RpcServer, http: HttpServer | None, wyoming: WyomingServer | None, grace_s: float) -> None:
    """All at once: they have the same time."""
    others = (*([http.drain()] if http else []), *([wyoming.drain(grace_s)] if wyoming else []))
    await asyncio.gather(rpc.drain(), *others)


def _serve_metrics(
    settings: Settings, registry: CollectorRegistry, authenticator: Authenticator, stack: AsyncExitStack
) -> str:
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


async def _make_ready(settings: Settings, engine: Engine, rpc: RpcServer) -> None:
    """Loads what should be there from the start, speaks with the first of it, and only then says that it is ready."""
    await asyncio.gather(*(engine.text.warm(code) for code in settings.voices.warm_languages))
    await rpc.health.set_voices(await engine.library.list_voices())
    wanted = (*settings.voices.pin, *settings.voices.prewarm)
    for voice_id, error in (await engine.residency.prewarm(wanted)).items():
        log.error("prewarm failed", voice=voice_id, reason=error.reason, problem=error.message)
    for voice_id in settings.voices.pin:
        try:
            await engine.residency.pin_voice(voice_id)
        except VoxswapError as error:
            log.error("pin failed", voice=voice_id, reason=error.reason, problem=error.message)  # noqa: TRY400 - no stack
    for resident in engine.residency.residents()[:1]:
        await _speak_once(engine, resident.voice_id)
    await rpc.health.set_ready(True)


async def _speak_once(engine: Engine, voice_id: str) -> None:
    """A dummy synthesis: proves that the whole path works, and warms it.

    Raises:
        VoxswapError: it does not work; a server that cannot speak does not start.
    """
    request = SynthesisRequest("readiness", voice_id, "Ready.", audio=AudioFormat(), deadline_s=None)
    async for _ in engine.synthesizer.synthesize(request):
        pass


def _publish_levels(engine: Engine, metrics: Metrics) -> None:
    """Levels are read when somebody scrapes them."""

    def level(tier: str, name: str) -> Callable[[], float]:
        return lambda: float(getattr(engine.residency.levels()[tier], name))

    for tier in engine.residency.levels():
        names = ("residents", "leased_bytes", "evictable_bytes")
        metrics.tier_levels(tier, **{name: level(tier, name) for name in names})
    for kind in engine.device.memory_bytes():
        metrics.device_memory(kind, lambda kind=kind: engine.device.memory_bytes()[kind])  # type: ignore[misc]


async def _follow_store(engine: Engine, rpc: RpcServer) -> None:
    """Whoever changes the store, this process follows: new revisions are loaded, removed voices are unloaded."""
    async for change in engine.catalogue.watch():
        try:
            if change.kind == "removed":
                await engine.residency.unload_voice(change.voice_id)
            elif change.kind == "changed":
                await engine.residency.reload(change.voice_id)
        except VoxswapError as error:
            log.error("reload failed", voice=change.voice_id, problem=error.message)  # noqa: TRY400 - no stack
        await rpc.health.set_voices(await engine.library.list_voices())


async def audit_residency(residency: ModelAdmin) -> None:
    """One audit line for each voice that came, went or could not come, whoever or whatever was the cause."""
    async with aclosing(residency.watch_residents()) as events:
        async for event in events:
            if event.kind in AUDITED:
                audit(event.kind, voice=event.voice_id, tier=event.tier, reason=event.reason, bytes=event.bytes)


async def _ended(task: "asyncio.Task[None]") -> None:
    task.cancel()
    try:
        await task
    except asyncio.CancelledError:
        return
