"""Every feature that needs a shared network, without it: what can be done is done, what cannot names it and the remedy.

A row a feature. What it lacks is nowhere in the store of its engine; in another engine, which refused it as well, the
network was then put into the store, as the remedy says, and the same call succeeds.
"""

import os
import shutil
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio

from tests.fixtures.engines import asking, engine_over, hear
from tests.fixtures.g2pw import install_g2pw
from tests.fixtures.tiny_voice import prompt, request, sovits_bytes, t2s_bytes
from voxswap_server.app import Engine
from voxswap_server.cli.storing import prompt_import
from voxswap_server.demo.tiny import build_tiny_store, lora_checkpoint
from voxswap_server.demo.tiny_built_in import write_built_in
from voxswap_server.demo.tiny_weights import Size
from voxswap_server.domain import AudioChunk, Language, LanguageMode, SynthesisRequest, VoiceUpload
from voxswap_server.errors import AssetMissing
from voxswap_store.asset_importer import import_assets
from voxswap_store.assets import ASSETS
from voxswap_store.importer import import_voice

pytestmark = pytest.mark.asyncio(loop_scope="module")

VOICES = {
    name: (kind, seed)
    for seed, (name, kind) in enumerate(
        (
            ("v1", "v1"),
            ("v2", "v2"),
            ("v2pro", "v2Pro"),
            ("v2proplus", "v2ProPlus"),
            ("v3", "v3"),
            ("v3-lora", "v3-lora"),
            ("v4", "v4"),
            ("v4-lora", "v4-lora"),
        ),
        1,
    )
}
OF_GPT_SOVITS = ("hubert", "bert", "eres2net", "sovits_v3", "sovits_v4", "bigvgan", "vocoder_v4", "ap_bwe", "ecapa")
SOME = ("hubert", "bigvgan", "vocoder_v4")
"""What the second store has, so that what is looked for after them is missed."""
CHINESE = Language("zh", LanguageMode.ALL)
ENGLISH_TEXT, CHINESE_TEXT = "Good morning.", "今天天气真不错。"

Call = Callable[[Engine], Awaitable[object]]


def said(voice: str, text: str = ENGLISH_TEXT, **changes: Any) -> SynthesisRequest:
    return asking(voice, text, sample_steps=1, **changes)


def speak(voice: str, text: str = ENGLISH_TEXT, **changes: Any) -> Call:
    """Speaks; an error must come before anything is heard."""

    async def call(engine: Engine) -> None:
        heard = b""
        try:
            async for event in engine.synthesizer.synthesize(said(voice, text, **changes)):
                heard += event.data if isinstance(event, AudioChunk) else b""
        except AssetMissing:
            assert not heard
            raise
        assert any(heard)

    return call


def import_lora(version: str) -> Call:
    async def call(engine: Engine) -> object:
        halves = {"t2s_checkpoint": t2s_bytes(version, 3), "sovits_checkpoint": lora_checkpoint(version, 3)}
        return await engine.library.create_voice(VoiceUpload(f"new-{version}", prompt=prompt(3), **halves))

    return call


def speakers(method: str) -> Call:
    clip = prompt(2).audio
    calls: Mapping[str, Call] = {
        "embed": lambda engine: engine.speakers.embed(clip),
        "compare": lambda engine: engine.speakers.compare(clip, clip),
        "find": lambda engine: engine.speakers.find_voices(clip, limit=1),
    }
    return calls[method]


@dataclass(frozen=True)
class Row:
    """A feature, what it lacks, and what the same voices can do all the same."""

    feature: str
    asset: str
    call: Call
    instead: str
    """A voice of the same store that speaks."""
    store: str = "bare"

    def __str__(self) -> str:
        return self.feature


OTHER = prompt(9)
"""Reference audio that comes with the request."""
ROWS = (
    Row("zero-shot, v1", "hubert", speak("v1", prompt=OTHER), "v1"),
    Row("zero-shot, v2", "hubert", speak("v2", prompt=OTHER), "v2"),
    Row("a voice whose prompt is not encoded yet", "hubert", speak("fresh"), "v2"),
    Row("the same of a voice trained on the small encoder", "hubert_small", speak("small"), "v2"),
    Row("zero-shot, v2Pro", "eres2net", speak("v2pro", prompt=OTHER), "v2pro", "some"),
    Row("zero-shot, v2ProPlus", "eres2net", speak("v2proplus", prompt=OTHER), "v2proplus", "some"),
    Row("v3", "bigvgan", speak("v3"), "v2"),
    Row("v4", "vocoder_v4", speak("v4"), "v2"),
    Row("v3 LoRA", "sovits_v3", speak("v3-lora"), "v3", "some"),
    Row("v4 LoRA", "sovits_v4", speak("v4-lora"), "v4", "some"),
    Row("importing a v3 LoRA", "sovits_v3", import_lora("v3"), "v3", "some"),
    Row("importing a v4 LoRA", "sovits_v4", import_lora("v4"), "v4", "some"),
    Row("super sampling", "ap_bwe", speak("v3", super_sampling=True), "v3", "some"),
    Row("embedding speakers", "ecapa", speakers("embed"), "v2"),
    Row("comparing speakers", "ecapa", speakers("compare"), "v2"),
    Row("finding voices", "ecapa", speakers("find"), "v2"),
    Row("embedding speakers with the built-in network", "ecapa_small", speakers("embed"), "v2", "built-in"),
)
CHINESE_FEATURES = ("bert", "g2pw")
"""Without them Chinese is spoken all the same; they have tests of their own."""


@dataclass(frozen=True)
class Stores:
    """Stores of the same voices, and all networks aside."""

    bare: Path
    some: Path
    mended: Path
    aside: Path

    def bring(self, store: Path, name: str) -> None:
        """What the remedy does, in short."""
        shutil.copytree(self.aside / "assets" / name, store / "assets" / name, copy_function=os.link)


@pytest.fixture(scope="module")
def stores(tmp_path_factory: pytest.TempPathFactory) -> Stores:
    made = tmp_path_factory.mktemp("missing")
    whole = made / "whole"
    with prompt_import(whole) as prompts:
        build_tiny_store(whole, VOICES, assets=OF_GPT_SOVITS, encode_prompt=prompts.encode)
    import_voice(request("fresh", t2s=t2s_bytes("v2", 1), sovits=sovits_bytes("v2", 1)), whole)
    small = sovits_bytes("v2", 2, Size(content_width=256))
    import_voice(request("small", t2s=t2s_bytes("v2", 2), sovits=small, prompt=prompt(2)), whole)
    built_in = write_built_in(made / "built-in")
    import_assets(built_in / "content", whole, only=("hubert_small",))
    import_assets(built_in / "ecapa", whole, only=("ecapa_small",))
    found = Stores(made / "bare", made / "some", made / "mended", whole)
    for store in (found.bare, found.some, found.mended):
        shutil.copytree(whole / "voices", store / "voices", copy_function=os.link)
    for name in SOME:
        found.bring(found.some, name)
    return found


@pytest_asyncio.fixture(loop_scope="module", scope="module")
async def engines(stores: Stores) -> AsyncIterator[Mapping[str, Engine]]:
    async with (
        engine_over(stores.bare) as (bare, _),
        engine_over(stores.some) as (some, _),
        engine_over(stores.bare, speakers={"network": "ecapa_small"}) as (built_in, _),
    ):
        yield {"bare": bare, "some": some, "built-in": built_in}


@pytest_asyncio.fixture(loop_scope="module", scope="module")
async def mended(stores: Stores) -> AsyncIterator[Engine]:
    """An engine that refused every row before it was given all but what Chinese takes."""
    async with engine_over(stores.mended, residency={"backoff_s": 0.0}) as (engine, _):
        for row in ROWS:
            with pytest.raises(AssetMissing):
                await row.call(engine)
        for name in {row.asset: None for row in ROWS}:
            stores.bring(stores.mended, name)
        yield engine


async def test_the_table_is_whole() -> None:
    assert {row.asset for row in ROWS} | set(CHINESE_FEATURES) == set(ASSETS)


@pytest.mark.parametrize("row", ROWS, ids=str)
async def test_what_cannot_be_done_names_the_asset_and_the_remedy(engines: Mapping[str, Engine], row: Row) -> None:
    spec, engine = ASSETS[row.asset], engines[row.store]
    with pytest.raises(AssetMissing) as missing:
        await row.call(engine)
    told = missing.value.message
    assert told.startswith(f"{spec.title} is not installed; it is needed for {spec.needed_for}: ")
    command = "start the server once with `voices.built_in = true`" if spec.built_in else f"assets fetch {spec.name}`"
    assert command in told
    assert missing.value.asset == spec.title
    assert str(engine.catalogue.root) not in told


@pytest.mark.parametrize("row", ROWS, ids=str)
async def test_once_it_is_there_the_same_engine_does_it(mended: Engine, row: Row) -> None:
    await row.call(mended)


@pytest.mark.parametrize(("store", "voice"), sorted({(row.store, row.instead) for row in ROWS}))
async def test_what_can_be_done_is_done(engines: Mapping[str, Engine], store: str, voice: str) -> None:
    await speak(voice)(engines[store])


@pytest.mark.parametrize("version", ["v3", "v4"])
async def test_a_lora_that_was_refused_left_nothing(engines: Mapping[str, Engine], version: str) -> None:
    assert f"new-{version}" not in engines["some"].catalogue.ids()


async def spoken(engine: Engine, text: str = CHINESE_TEXT, voice: str = "v2", **changes: Any) -> list[str]:
    """What a Chinese request is told beside its audio."""
    heard = await hear(engine.synthesizer, said(voice, text, language=CHINESE, **changes))
    assert abs(heard.pcm.astype(int)).max() > 0
    assert {notice.code for notice in heard.notices} <= {"ASSET_MISSING"}
    return [notice.message for notice in heard.notices]


async def test_chinese_without_its_features_is_spoken_with_a_warning(engines: Mapping[str, Engine]) -> None:
    [told] = await spoken(engines["bare"], f"{CHINESE_TEXT}我们走吧。")  # once, however many utterances there are
    assert told.startswith("Chinese is spoken without text features: Chinese RoBERTa large is not installed; ")
    assert "run `voxswap assets fetch bert`" in told
    english = await hear(engines["bare"].synthesizer, said("v2"))
    assert not english.notices


async def test_a_chinese_transcript_without_its_features_is_told_too(engines: Mapping[str, Engine]) -> None:
    clip = replace(OTHER, transcript="今天很好。", language=CHINESE)
    heard = await hear(engines["some"].synthesizer, said("v2", prompt=clip))
    [notice] = heard.notices
    assert "run `voxswap assets fetch bert`" in notice.message
    assert heard.pcm.size > 0


async def test_g2pw_and_what_it_reads_besides(mended: Engine) -> None:
    store = mended.catalogue.root
    [features] = await spoken(mended)  # g2pW is no more than a better way: who has none is told nothing of it
    assert features.startswith("Chinese is spoken without text features")
    install_g2pw(store, {}, tokenizer=False)
    words = next(told for told in await spoken(mended) if told != features)
    assert words.startswith("Chinese characters of several readings follow the words they are in: Chinese RoBERTa")
    assert "run `voxswap assets fetch bert`" in words
    install_g2pw(store, {})
    assert await spoken(mended) == []
