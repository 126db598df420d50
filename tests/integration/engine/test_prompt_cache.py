"""Prompts of requests through real engines: the same audio with every layer of the cache and with none, made once."""

import asyncio
import threading
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from prometheus_client import CollectorRegistry

from tests.fixtures.engines import asking, engine_over, hear
from voxswap_server.app import Engine
from voxswap_server.demo import tiny
from voxswap_server.demo.tiny import build_tiny_store, tiny_prompt, write_pretrained_models
from voxswap_server.demo.tiny_sovits import sovits_weights
from voxswap_server.domain import Language, Prompt, SynthesisRequest
from voxswap_server.engine import prompt_audio, prompt_encoding
from voxswap_server.errors import BadReferenceAudio
from voxswap_server.nn.bert import TextEncoder
from voxswap_server.nn.eres2net import SpeakerVectorNet
from voxswap_server.nn.hubert import ContentEncoder
from voxswap_store.asset_importer import import_assets
from voxswap_store.importer import ImportRequest, import_voice

VOICES = {"amber": ("v2", 1), "coral": ("v2Pro", 3), "tide": ("v4", 5)}
TEXT = "Hello there."


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("prompts") / "store"
    build_tiny_store(root, VOICES)
    return root


@pytest.fixture
def made(monkeypatch: pytest.MonkeyPatch) -> Counter[str]:
    """How often each piece was made."""
    counted: Counter[str] = Counter()

    def watch(owner: Any, name: str, piece: str) -> None:
        real = getattr(owner, name)

        def called(*arguments: Any, **named: Any) -> Any:
            counted[piece] += 1
            return real(*arguments, **named)

        monkeypatch.setattr(owner, name, called)

    watch(ContentEncoder, "features", "content")
    watch(SpeakerVectorNet, "vector", "speaker_vector")
    watch(prompt_audio.Reference, "spectrum", "spectrum")
    watch(prompt_audio.Reference, "mel", "mel")
    watch(prompt_encoding, "encode_conditioning", "conditioning")
    watch(prompt_encoding, "decode", "decoded")
    return counted


def cloning(voice: str, seed: int = 99, *, others: tuple[int, ...] = (), **changes: Any) -> SynthesisRequest:
    main = tiny_prompt(seed)
    auxiliary = tuple(tiny_prompt(other).audio for other in others)
    prompt = Prompt(main.audio, main.transcript, main.language, auxiliary)
    return asking(voice, TEXT, prompt=prompt, sample_steps=2, **changes)


def lookups(registry: CollectorRegistry, cache: str) -> dict[str, int]:
    found = {}
    for result in ("hit", "miss", "corrupt", "unavailable"):
        count = registry.get_sample_value("voxswap_cache_lookups_total", {"cache": cache, "result": result})
        if count:
            found[result] = int(count)
    return found


async def heard(engine: Engine, *requests: SynthesisRequest) -> list[bytes]:
    return [(await hear(engine.synthesizer, request)).data for request in requests]


async def release(gate: threading.Event) -> None:
    gate.set()


REQUESTS = (cloning("amber", others=(98, 97)), cloning("coral", others=(98,)), cloning("tide"))


async def test_the_same_bytes_with_every_layer_and_with_none(store: Path, tmp_path: Path, made: Counter[str]) -> None:
    async with engine_over(store, cache={"memory_bytes": 0}) as (engine, registry):
        plain = await heard(engine, *REQUESTS)
        assert made == {"content": 3, "spectrum": 6, "speaker_vector": 2, "mel": 1, "conditioning": 3, "decoded": 6}
        assert lookups(registry, "prompts") == {"miss": 3}
    made.clear()
    disk = {"directory": tmp_path / "cache"}
    async with engine_over(store, cache=disk) as (engine, registry):
        computed = await heard(engine, *REQUESTS)
        # One clip's spectrum serves all voices; so does its vector. Only quantizers differ.
        assert made == {"content": 3, "spectrum": 3, "speaker_vector": 2, "mel": 1, "conditioning": 3, "decoded": 6}
        remembered = await heard(engine, *REQUESTS)
        assert lookups(registry, "prompts") == {"miss": 3, "hit": 3}
    made.clear()
    async with engine_over(store, cache=disk) as (engine, registry):
        read = await heard(engine, *REQUESTS)
        assert lookups(registry, "prompts") == {"hit": 3}
        assert lookups(registry, "prompts_disk") == {"hit": 6}
        stats = await engine.residency.cache_stats()
        assert (stats.hits["prompts"], stats.hits["prompts_disk"], stats.misses["prompts_memory"]) == (3, 6, 6)
    assert made == {}
    assert computed == remembered == read == plain


async def test_many_who_bring_one_clip_at_once_have_it_encoded_once(store: Path, made: Counter[str]) -> None:
    requests = [cloning("coral") for _ in range(4)]
    async with engine_over(store, admission={"max_running": 4}, scheduling={"batching": False}) as (engine, registry):
        answers = await asyncio.gather(*(hear(engine.synthesizer, request) for request in requests))
        assert lookups(registry, "prompts") == {"miss": 1, "hit": 3}
    assert made == {"content": 1, "spectrum": 1, "speaker_vector": 1, "conditioning": 1, "decoded": 1}
    assert len({answer.data for answer in answers}) == 1


async def test_the_first_one_may_leave_and_the_others_are_served(store: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    begun, gate, features = asyncio.Event(), threading.Event(), ContentEncoder.features
    loop = asyncio.get_running_loop()

    def held_up(*arguments: Any) -> Any:
        loop.call_soon_threadsafe(begun.set)
        assert gate.wait(30)
        return features(*arguments)

    async with engine_over(store, admission={"max_running": 3}, scheduling={"batching": False}) as (engine, _):
        monkeypatch.setattr(ContentEncoder, "features", held_up)
        first = asyncio.ensure_future(hear(engine.synthesizer, cloning("amber")))
        await begun.wait()
        others = [asyncio.ensure_future(hear(engine.synthesizer, cloning("amber"))) for _ in range(2)]
        first.cancel()
        with pytest.raises(asyncio.CancelledError):
            await asyncio.gather(first, release(gate))
        answers = await asyncio.gather(*others)
    async with engine_over(store, cache={"memory_bytes": 0}) as (engine, _):
        assert await heard(engine, cloning("amber")) == [answer.data for answer in answers][:1]
    assert len({answer.data for answer in answers}) == 1


async def test_an_order_of_auxiliary_references_is_a_prompt_of_its_own(store: Path, made: Counter[str]) -> None:
    async with engine_over(store) as (engine, registry):
        await heard(engine, cloning("amber", others=(98, 97)), cloning("amber", others=(97, 98)), cloning("amber"))
        assert lookups(registry, "prompts") == {"miss": 3}
    assert made == {
        "content": 1,
        "spectrum": 3,
        "conditioning": 3,
        "decoded": 3,
    }  # only the mean over them was made anew


async def test_a_broken_entry_is_made_again_and_mended(store: Path, tmp_path: Path, made: Counter[str]) -> None:
    disk = {"directory": tmp_path / "cache"}
    async with engine_over(store, cache=disk) as (engine, _):
        plain = await heard(engine, *REQUESTS)
    entries = sorted((tmp_path / "cache").glob("??/*.safetensors"))
    assert len(entries) == 3 + 3 + 3 + 2 + 1
    for number, entry in enumerate(entries):
        data = bytearray(entry.read_bytes())
        if number % 3:
            data[-1 - number] ^= 1
            entry.write_bytes(data)
        else:
            entry.write_bytes(entries[number - 1].read_bytes())  # whole, and another's
    made.clear()
    async with engine_over(store, cache=disk) as (engine, registry):
        assert await heard(engine, *REQUESTS) == plain
        assert lookups(registry, "prompts_disk")["corrupt"] == len(entries)
        assert lookups(registry, "prompts") == {"miss": 3}
    assert made == {"content": 3, "spectrum": 3, "speaker_vector": 2, "mel": 1, "conditioning": 3, "decoded": 6}
    made.clear()
    async with engine_over(store, cache=disk) as (engine, _):
        assert await heard(engine, *REQUESTS) == plain
    assert made == {}


async def test_another_precision_finds_nothing_that_networks_made(
    store: Path, tmp_path: Path, made: Counter[str]
) -> None:
    disk = {"directory": tmp_path / "cache"}
    async with engine_over(store, cache=disk) as (engine, _):
        await heard(engine, cloning("coral"))
    made.clear()
    device = {"name": "cpu", "threads": 1, "precision": "bf16"}
    async with engine_over(store, cache=disk, device=device) as (engine, registry):
        found = await heard(engine, cloning("coral"))
        assert lookups(registry, "prompts") == {"miss": 1}
    assert made == {
        "content": 1,
        "speaker_vector": 1,
        "conditioning": 1,
        "decoded": 1,
    }  # the spectrum is worked out in fp32 by both
    async with engine_over(store, cache={"memory_bytes": 0}, device=device) as (engine, _):
        assert await heard(engine, cloning("coral")) == found


async def test_voices_tuned_from_one_base_share_prompt_tokens(tmp_path: Path, made: Counter[str]) -> None:
    root = tmp_path / "store"
    build_tiny_store(root, {"amber": ("v2", 1)})
    (base, _), (own, config) = sovits_weights("v2", 1), sovits_weights("v2", 2)
    frozen = {name: base[name] for name in base if name.startswith(("ssl_proj.", "quantizer."))}
    assert frozen
    import_voice(
        ImportRequest("cousin", tiny.t2s_checkpoint("v2", 2), tiny.sovits_file({**own, **frozen}, config)), root
    )
    async with engine_over(root) as (engine, _):
        await heard(engine, cloning("amber"), cloning("cousin"))
    assert made == {"content": 1, "spectrum": 1, "conditioning": 2, "decoded": 1}


async def test_what_an_exchanged_network_made_is_never_taken_for_the_other_ones(tmp_path: Path) -> None:
    root, disk = tmp_path / "store", {"directory": tmp_path / "cache"}
    build_tiny_store(root, {"amber": ("v2", 1)})
    async with engine_over(root, cache=disk) as (engine, _):
        before = await heard(engine, cloning("amber"))
        import_assets(write_pretrained_models(tmp_path / "other", ("hubert",), seed=5), root, only=("hubert",))
        # Whichever of the two networks this engine uses now, it must not pass one's work off as the other's.
        await heard(engine, cloning("amber", 98), cloning("amber"))
    async with engine_over(root, cache={"memory_bytes": 0}) as (engine, _):
        plain = await heard(engine, cloning("amber"), cloning("amber", 98))
    async with engine_over(root, cache=disk) as (engine, _):
        assert await heard(engine, cloning("amber"), cloning("amber", 98)) == plain
    assert plain[0] != before[0]


async def test_what_is_refused_stays_refused(store: Path, tmp_path: Path) -> None:
    disk = {"directory": tmp_path / "cache"}
    request = cloning("amber", others=(98,))
    async with engine_over(store, cache=disk) as (engine, _):
        await heard(engine, request)
    size = len(tiny_prompt(99).audio)
    async with engine_over(store, cache=disk, prompts={"max_audio_bytes": size - 1}) as (engine, _):
        with pytest.raises(BadReferenceAudio, match=f"at most {size - 1}"):
            await heard(engine, request)
    async with engine_over(store, cache=disk, prompts={"max_audio_s": 1.0}) as (engine, _):
        with pytest.raises(BadReferenceAudio, match="longer than 1 s"):
            await heard(engine, request)


async def test_a_directory_that_cannot_be_used_costs_nothing_but_time(store: Path, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("not a directory")
    async with engine_over(store, cache={"directory": tmp_path / "file" / "cache"}) as (engine, registry):
        with_it = await heard(engine, cloning("amber"))
        assert lookups(registry, "prompts_disk") == {"unavailable": 3}
    async with engine_over(store) as (engine, _):
        assert await heard(engine, cloning("amber")) == with_it


async def test_the_features_of_a_chinese_transcript_are_made_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    root, disk = tmp_path / "store", {"directory": tmp_path / "cache"}
    build_tiny_store(root, {"amber": ("v2", 1)}, assets=("hubert", "bert"))
    read: list[str] = []
    features = TextEncoder.features

    def overheard(self: TextEncoder, text: str, word2ph: Any) -> Any:
        read.append(text)
        return features(self, text, word2ph)

    monkeypatch.setattr(TextEncoder, "features", overheard)
    prompts = [
        Prompt(tiny_prompt(99).audio, transcript, Language("zh")) for transcript in ("今天天气真不错。", "我们走吧。")
    ]
    requests = [asking("amber", TEXT, prompt=prompt) for prompt in prompts]
    async with engine_over(root, cache={"memory_bytes": 0}) as (engine, _):
        plain = await heard(engine, *requests)
        assert len(read) == 2
        assert plain[0] != plain[1]
    read.clear()
    async with engine_over(root, cache=disk) as (engine, registry):
        assert await heard(engine, *requests, *requests) == plain * 2
        assert lookups(registry, "prompts") == {"miss": 1, "hit": 3}  # it is one clip
    assert len(read) == 2
    read.clear()
    async with engine_over(root, cache=disk) as (engine, _):
        assert await heard(engine, *requests) == plain
    assert read == []
    import_assets(write_pretrained_models(tmp_path / "other", ("bert",), seed=5), root, only=("bert",))
    async with engine_over(root, cache=disk) as (engine, _):
        await heard(engine, *requests)
    assert len(read) == 2
