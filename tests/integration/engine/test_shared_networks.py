"""Shared networks through the engine: counted with the voices, evicted with them, never under a request."""

import asyncio
from collections.abc import Mapping
from pathlib import Path

import pytest

from tests.fixtures.engines import Heard, asking, engine_over, hear
from voxswap_server.demo.tiny import build_tiny_store
from voxswap_server.domain import Language, LanguageMode, SynthesisRequest
from voxswap_server.errors import OutOfMemory

VOICES = {"one": ("v2", 1), "two": ("v2Pro", 2), "three": ("v3", 3)}
ASSETS = ("hubert", "bert", "eres2net", "bigvgan")
CHINESE = Language("zh", LanguageMode.ALL)


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("shared") / "store"
    build_tiny_store(root, VOICES, assets=ASSETS)
    return root


def requests() -> Mapping[tuple[str, str], SynthesisRequest]:
    told = {"zh": asking("one", "今天天气真不错。", language=CHINESE), "en": asking("one", "Good morning.")}
    return {
        (voice, language): asking(voice, request.text, language=request.language, sample_steps=2)
        for voice in VOICES
        for language, request in told.items()
    }


async def test_what_a_request_needs_is_loaded_for_it_and_counted(store: Path) -> None:
    async with engine_over(store) as (engine, registry):
        await hear(engine.synthesizer, asking("one", "Good morning."))
        english = await engine.residency.cache_stats()
        assert "bert" not in english.networks
        heard = await hear(engine.synthesizer, asking("one", "今天天气真不错。", language=CHINESE))
        assert not heard.notices
        stats = await engine.residency.cache_stats()
        (voice,) = await engine.residency.list_residents()
        assert stats.networks["bert"] > 0
        assert stats.bytes_used["device"] == voice.bytes_own + voice.bytes_shared + sum(stats.networks.values())
        assert (stats.loads, stats.residents["device"]) == (1, 1)
        labels = {"network": "bert", "source": "disk"}
        assert registry.get_sample_value("voxswap_network_load_seconds_count", labels) == 1
        assert engine.residency.levels()["device"].leased_bytes == 0


async def test_a_storm_on_a_budget_for_one_voice_beside_the_networks(store: Path) -> None:
    alone: dict[tuple[str, str], Heard] = {}
    sizes: list[int] = []
    async with engine_over(store, scheduling={"batching": False}) as (engine, _):
        for key, request in requests().items():
            alone[key] = await hear(engine.synthesizer, request)
            held = {one.voice_id: one.bytes_own + one.bytes_shared for one in engine.residency.residents()}
            sizes.append(held[key[0]])
        networks = sum((await engine.residency.cache_stats()).networks.values())
    limits = {"device_budget_bytes": max(sizes) + networks, "min_resident_s": 0.0, "wait_for_room_s": 120.0}
    async with engine_over(store, residency=limits, scheduling={"batching": False}) as (engine, _):
        wave = [hear(engine.synthesizer, request) for request in (*requests().values(), *requests().values())]
        heard = await asyncio.gather(*wave)
        stats = await engine.residency.cache_stats()
        assert engine.residency.levels()["device"].leased_bytes == 0
    for (key, wanted), got in zip((*alone.items(), *alone.items()), heard, strict=True):
        assert got.data == wanted.data, key
        assert not got.notices, key
    assert stats.evictions["lru"] > 0
    assert stats.bytes_used["device"] <= stats.bytes_budget["device"]
    assert stats.load_failures == 0


async def test_a_network_that_cannot_fit_fails_its_request_and_no_other(store: Path) -> None:
    async with engine_over(store) as (engine, _):
        await hear(engine.synthesizer, asking("one", "今天天气真不错。", language=CHINESE))
        stats = await engine.residency.cache_stats()
        voice = stats.bytes_used["device"] - sum(stats.networks.values())
    budget = max(voice + sum(size for name, size in stats.networks.items() if name != "bert"), stats.networks["bert"])
    limits = {"device_budget_bytes": budget, "wait_for_room_s": 0.0, "min_resident_s": 0.0}
    assert voice + stats.networks["bert"] > budget
    async with engine_over(store, residency=limits) as (engine, _):
        with pytest.raises(OutOfMemory):
            await hear(engine.synthesizer, asking("one", "今天天气真不错。", language=CHINESE))
        assert (await hear(engine.synthesizer, asking("one", "Good morning."))).data
