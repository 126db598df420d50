"""Many voices and many callers on a budget for two voices: every answer is that of the same request alone."""

import asyncio
from pathlib import Path

import numpy as np
import pytest
import pytest_asyncio
from prometheus_client import CollectorRegistry

from tests.fixtures.engines import Heard, asking, engine_over, hear
from voxswap_server.app import Engine
from voxswap_server.domain import SynthesisRequest

VOICES = ("amber", "slate", "coral", "onyx")
CLIENTS = 16
pytestmark = pytest.mark.asyncio(loop_scope="module")
TEXTS = ("Good morning.", "How are you today?", "The rain has stopped.", "See you tomorrow.")


def requests() -> list[SynthesisRequest]:
    """4 voices x 16 clients, each with a seed of its own."""
    return [
        asking(voice, TEXTS[client % len(TEXTS)], seed=1000 + client) for client in range(CLIENTS) for voice in VOICES
    ]


@pytest_asyncio.fixture(loop_scope="module", scope="module")
async def expected(tiny_store: Path) -> list[Heard]:
    """Each request alone, one after another."""
    async with engine_over(tiny_store) as (engine, _):
        return [await hear(engine.synthesizer, request) for request in requests()]


async def together(engine: Engine) -> list[Heard]:
    return await asyncio.gather(*(hear(engine.synthesizer, request) for request in requests()))


@pytest_asyncio.fixture(loop_scope="module", scope="module")
async def budget_bytes(tiny_store: Path) -> int:
    """What holds any two of the voices, and never three."""
    async with engine_over(tiny_store) as (engine, _):
        sizes = sorted([(await engine.residency.load_voice(voice)).bytes_own for voice in VOICES])
    assert sum(sizes[:3]) > sum(sizes[-2:])
    return sum(sizes[-2:])


async def check_books(engine: Engine, registry: CollectorRegistry, budget_bytes: int) -> None:
    """Nothing is leased, the budget holds, and loads minus evictions is what is resident."""
    residents, stats = engine.residency.residents(), await engine.residency.cache_stats()
    assert all(one.leases == 0 for one in residents)
    assert stats.bytes_used["device"] <= budget_bytes
    assert stats.loads - sum(stats.evictions.values()) == len(residents) == stats.residents["device"]
    assert stats.hits["voices"] + stats.misses["voices"] == len(VOICES) * CLIENTS
    assert stats.load_failures == 0
    evicted = sum(
        sample.value
        for metric in registry.collect()
        for sample in metric.samples
        if sample.name == "voxswap_voice_evictions_total"
    )
    assert evicted == sum(stats.evictions.values()) > 0
    assert registry.get_sample_value("voxswap_requests_running") == 0


@pytest.mark.parametrize("batching", [False, True])
async def test_four_voices_sixteen_clients_each_on_a_budget_for_two(
    tiny_store: Path, expected: list[Heard], budget_bytes: int, *, batching: bool
) -> None:
    async with engine_over(
        tiny_store,
        residency={"device_budget_bytes": budget_bytes, "min_resident_s": 0.2, "wait_for_room_s": 300.0},
        admission={"max_running": 64},
        scheduling={"batching": batching},
    ) as (engine, registry):
        heard = await together(engine)
        await check_books(engine, registry, budget_bytes)
        rows = registry.get_sample_value("voxswap_batch_size_sum") or 0
        calls = registry.get_sample_value("voxswap_batch_size_count") or 1
    for got, wanted in zip(heard, expected, strict=True):
        if batching:
            assert got.done is not None
            assert wanted.done is not None
            assert got.done.semantic_tokens == wanted.done.semantic_tokens
            difference = np.abs(got.pcm.astype(float) - wanted.pcm.astype(float))
            assert difference.max() <= max(1.0, 1e-4 * np.abs(wanted.pcm.astype(float)).max())
        else:
            assert got.data == wanted.data
    assert (rows / calls > 1.0) == batching
