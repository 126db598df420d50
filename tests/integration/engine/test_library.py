"""A new voice through the real engine's library: its prompt is encoded at once where the shared networks are there."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import pytest_asyncio

from tests.fixtures.engines import asking, engine_over, hear
from tests.fixtures.tiny_voice import prompt, sovits_bytes, t2s_bytes
from voxswap_server.app import Engine
from voxswap_server.demo.tiny import lora_checkpoint, write_pretrained_models
from voxswap_server.domain import Language, Prompt, VoiceChanges, VoiceUpload
from voxswap_server.errors import AssetMissing, BadReferenceAudio, RequestError, VoiceUnusable
from voxswap_store.asset_importer import import_assets

pytestmark = pytest.mark.asyncio(loop_scope="module")


def upload(voice_id: str, **changes: object) -> VoiceUpload:
    halves = {"t2s_checkpoint": t2s_bytes("v2", 1), "sovits_checkpoint": sovits_bytes("v2", 1), "prompt": prompt(1)}
    return VoiceUpload(voice_id, **halves | changes)  # type: ignore[arg-type]


@pytest_asyncio.fixture(loop_scope="module", scope="module")
async def engine(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Engine]:
    """Over a store that has nothing yet."""
    async with engine_over(tmp_path_factory.mktemp("library") / "store") as (engine, _):
        yield engine


async def test_a_voice_is_whole_without_the_networks_that_encode_its_prompt(engine: Engine, tmp_path: Path) -> None:
    info = await engine.library.create_voice(upload("early"))
    assert (info.has_prompt, engine.catalogue.get("early").manifest.files.prompt) == (True, None)
    with pytest.raises(AssetMissing, match="CN-HuBERT base is not installed"):
        await hear(engine.synthesizer, asking("early", "Good morning."))
    import_assets(write_pretrained_models(tmp_path, ("hubert",)), engine.catalogue.root)
    await engine.library.create_voice(upload("late"))
    assert engine.catalogue.get("late").manifest.files.prompt is not None
    early, late = [await hear(engine.synthesizer, asking(name, "Good morning.")) for name in ("early", "late")]
    assert early.pcm.size == late.pcm.size > 0


async def test_what_cannot_be_imported_is_refused_and_leaves_nothing(engine: Engine) -> None:
    with pytest.raises(AssetMissing, match="v4 base model is not installed"):
        await engine.library.create_voice(
            upload("lora", t2s_checkpoint=t2s_bytes("v4", 1), sovits_checkpoint=lora_checkpoint("v4", 1))
        )
    noise = prompt(1)
    with pytest.raises(BadReferenceAudio):
        await engine.library.create_voice(upload("deaf", prompt=type(noise)(b"noise", "", noise.language)))
    assert not {"lora", "deaf"} & set(engine.catalogue.ids())


async def test_a_prompt_that_cannot_be_spoken_after_is_refused_before_it_is_kept(engine: Engine) -> None:
    await engine.library.create_voice(upload("kept"))
    before, good = engine.catalogue.get("kept").revision, prompt(2)
    for changed, field in (
        (Prompt(good.audio, "word " * 200, Language("en")), "prompt.transcript"),
        (Prompt(good.audio, "____", Language("en")), "prompt.transcript"),
        (Prompt(good.audio, good.transcript, Language("fr")), "prompt.language_code"),
        (Prompt(good.audio, good.transcript, good.language, (b"noise",)), "prompt.auxiliary"),
    ):
        with pytest.raises(RequestError) as refusal:
            await engine.library.update_voice("kept", VoiceChanges(prompt=changed))
        assert refusal.value.field == field
    assert engine.catalogue.get("kept").revision == before


async def test_a_voice_whose_own_transcript_cannot_be_read_is_what_is_at_fault(engine: Engine) -> None:
    await engine.library.create_voice(upload("mumbling"))
    engine.catalogue.update("mumbling", VoiceChanges(prompt=Prompt(prompt(3).audio, "____", Language("en"))))
    with pytest.raises(VoiceUnusable, match="'mumbling' cannot be used: the transcript of its reference audio"):
        await hear(engine.synthesizer, asking("mumbling", "Good morning."))
