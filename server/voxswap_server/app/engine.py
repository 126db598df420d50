"""Everything behind the transports, put together in the order in which it needs each other.

Knows nothing of servers and of who calls.
"""

import asyncio
import time
from collections.abc import AsyncIterator, Iterator
from concurrent.futures import Executor, ThreadPoolExecutor
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass, replace
from functools import partial

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
from voxswap_server.engine.stored_networks import network_address
from voxswap_server.engine.synthesizer import EngineSynthesizer, Services
from voxswap_server.engine.text_encoder import TextEncoding
from voxswap_server.engine.transcript_features import TranscriptFeatures
from voxswap_server.engine.voice import Voice
from voxswap_server.engine.worker import Worker
from voxswap_server.metrics import Metrics
from voxswap_server.settings import Settings
from voxswap_server.text.frontend import TextFrontend
from voxswap_server.tracing import NO_TRACING, Tracing
from voxswap_store.built_in import catalogue_of
from voxswap_store.catalogue import Catalogue

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
class _Pools:
    """Threads for what must run neither on the event loop nor on the device thread."""

    text: Executor
    audio: Executor
    disk: Executor
    speakers: Executor


@asynccontextmanager
async def build_engine(settings: Settings, metrics: Metrics, tracing: Tracing = NO_TRACING) -> AsyncIterator[Engine]:
    """An engine, which has come to rest when the block ends.

    Raises:
        VoxswapError: a setting cannot be honoured (the device is not there, say).
    """
    device = open_device(settings.device)
    catalogue = catalogue_of(settings.store, built_in=settings.voices.built_in)
    with _pools(settings) as pools:
        cache, prompt_lookups = open_cache(settings.cache, metrics), Lookups("prompts", metrics)
        rounded, embedded = Lookups("rounded", metrics), Lookups("embeddings", metrics)
        embeddings = EmbeddingCache(settings.speakers.cache_entries, pools.speakers, embedded)
        residency: ResidencyManager[Voice] = ResidencyManager(
            StoreLoader(catalogue, device, settings.engine, rounded),
            _budgeted(settings, device),
            metrics,
            other_caches={one.name: one for one in (embedded, prompt_lookups, rounded)} | cache.lookups,
        )
        residency.start()
        networks = ResidentNetworks(residency)
        frontend = TextFrontend(frontend_options(settings.store, networks))
        address_of, ground = partial(network_address, settings.store), Ground.of(device)
        transcripts = TranscriptFeatures(cache, residency, address_of, pools.audio, ground)
        text = TextEncoding(frontend, pools.text, networks, transcripts)
        prompts = Prompts(
            text, residency, address_of, pools.audio, cache, device.device, ground, prompt_lookups, settings.prompts
        )
        worker = _worker(settings, metrics, device, residency)
        worker.start()
        services = Services(
            admission=Admission(settings.admission, metrics, time.monotonic),
            residency=residency,
            networks=networks,
            foresight=Foresight(catalogue, frontend, pools.text, residency),
            text=text,
            prompts=prompts,
            worker=worker,
            audio_pool=pools.audio,
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
                library=StoreLibrary(catalogue, residency, imports, pools.disk),
                speakers=Speakers(catalogue, residency, pools.speakers, embeddings, settings.speakers),
            )
        finally:
            await asyncio.to_thread(worker.stop)
            await asyncio.to_thread(cache.close, CACHE_GRACE_S)
            await residency.aclose()


@contextmanager
def _pools(settings: Settings) -> Iterator[_Pools]:
    with (
        ThreadPoolExecutor(settings.pools.text_threads, "voxswap-text") as text,
        ThreadPoolExecutor(settings.pools.audio_threads, "voxswap-audio") as audio,
        ThreadPoolExecutor(2, "voxswap-disk") as disk,
        ThreadPoolExecutor(settings.speakers.threads, "voxswap-speakers") as speakers,
    ):
        yield _Pools(text, audio, disk, speakers)


def _worker(settings: Settings, metrics: Metrics, device: Device, residency: ResidencyManager[Voice]) -> Worker:
    return Worker(
        settings.scheduling,
        settings.worker,
        metrics,
        on_device_thread=device.run,
        rescue=lambda error: is_exhausted(error) and residency.relieve_blocking(RELIEF_BYTES),
        explain=out_of_memory,
    )


def _budgeted(settings: Settings, device: Device) -> ResidencyConfig:
    on_device, on_host = default_budgets(device)
    config = settings.residency
    return replace(
        config,
        device_budget_bytes=config.device_budget_bytes or on_device,
        host_budget_bytes=config.host_budget_bytes or on_host,
    )
