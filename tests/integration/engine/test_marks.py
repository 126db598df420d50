"""Marks of silence and notices of the cut, through the engine on tiny voices: exact to the sample."""

from collections.abc import AsyncIterator
from pathlib import Path
from shutil import copytree

import numpy as np
import pytest
import pytest_asyncio
from numpy.typing import NDArray

from tests.fixtures.engines import Heard, asking, engine_over, hear
from voxswap_server.app import Engine
from voxswap_server.domain import PhoneticEncoding, Pronunciation
from voxswap_server.errors import RequestError, VoiceUnusable

pytestmark = pytest.mark.asyncio(loop_scope="module")


@pytest_asyncio.fixture(loop_scope="module", scope="module")
async def engine(tiny_store: Path) -> AsyncIterator[Engine]:
    async with engine_over(tiny_store) as (engine, _):
        yield engine


def is_silent(samples: NDArray[np.int16]) -> bool:
    return not samples.any()


async def spoken(engine: Engine, text: str, **changes: object) -> Heard:
    return await hear(engine.synthesizer, asking("amber", text, **changes))


async def test_a_mark_is_exact_silence_between_what_is_spoken(engine: Engine) -> None:
    plain = await spoken(engine, "Good morning to you. How are you today?", pause_s=0.0)
    marked = await spoken(engine, "Good morning to you.[pause:1.5s]How are you today?", pause_s=0.0)
    first = await spoken(engine, "Good morning to you.", pause_s=0.0)
    assert marked.done is not None
    assert marked.done.utterances == 2
    end, rate_hz = first.pcm.size, 32000
    assert marked.pcm.size == plain.pcm.size + 48000 == marked.done.samples
    assert np.array_equal(marked.pcm[:end], first.pcm)
    assert is_silent(marked.pcm[end : end + 48000])
    assert not is_silent(marked.pcm[end + 48000 : end + 48000 + rate_hz // 10])
    assert np.array_equal(marked.pcm[end + 48000 :], plain.pcm[end:])


async def test_a_mark_takes_the_place_of_the_usual_pause_and_marks_add_up(engine: Engine) -> None:
    bare = await spoken(engine, "Good morning to you. How are you today?", pause_s=0.0)
    usual = await spoken(engine, "Good morning to you. How are you today?", pause_s=0.3)
    shorter = await spoken(engine, "Good morning to you.[pause:7ms]How are you today?[pause:0s]", pause_s=0.3)
    added = await spoken(engine, "Good morning to you. [pause:40ms] [pause:2ms]How are you today?", pause_s=0.3)
    assert usual.pcm.size == bare.pcm.size + 2 * 9600
    assert shorter.pcm.size == bare.pcm.size + 7 * 32
    assert added.pcm.size == bare.pcm.size + 42 * 32 + 9600


async def test_silence_at_the_start_moves_nothing_else(engine: Engine) -> None:
    plain = await spoken(engine, "How are you today?")
    marked = await spoken(engine, "[pause:10s][pause:250ms]How are you today?")
    assert marked.done is not None
    assert marked.done.utterances == 1
    assert is_silent(marked.pcm[: 10_250 * 32])
    assert np.array_equal(marked.pcm[10_250 * 32 :], plain.pcm)
    assert max(chunk.samples for chunk in marked.chunks) <= 32000


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("Hello [pause:later] there.", r"\[pause:later\]"),
        ("Hello [pause:11s] there.", "longer than 10 s"),
        ("[pause:1s] ... [pause:1s]", "nothing to speak"),
    ],
)
async def test_a_mark_that_cannot_be_kept_is_refused(engine: Engine, text: str, told: str) -> None:
    with pytest.raises(RequestError, match=told) as caught:
        await spoken(engine, text)
    assert caught.value.field == "text"


async def test_a_line_that_the_cut_drops_is_told_once(engine: Engine) -> None:
    heard = await spoken(engine, "Hello there. 😀😀😀😀😀😀. [pause:5ms] 😀😀😀😀😀😀. Good bye.")
    assert [notice.code for notice in heard.notices] == ["CHARACTERS_NOT_READ"]
    assert "😀" in heard.notices[0].message
    assert not (await spoken(engine, "Hello there.[pause:5ms]Good bye.")).notices


async def test_a_pronunciation_changes_what_is_heard_and_a_request_overrides_its_voice(
    tiny_store: Path, tmp_path: Path
) -> None:
    store = tmp_path / "store"
    copytree(tiny_store, store)
    manifest = store / "voices" / "amber" / "voice.toml"
    words = '\n[[pronunciations]]\nphrase = "Nikki"\npronunciation = "N AY1 K IY0"\nencoding = "arpabet"\n'
    manifest.write_text(manifest.read_text("utf-8") + words, "utf-8")
    broken = store / "voices" / "slate" / "voice.toml"
    broken.write_text(broken.read_text("utf-8") + words.replace("AY1", "AY7"), "utf-8")

    text = "Hello Nikki, how are you?"
    plain = Pronunciation("nikki", "N IH1 K IY0", PhoneticEncoding.ARPABET)
    own = Pronunciation("Nikki", "N AY1 K IY0", PhoneticEncoding.ARPABET)
    async with engine_over(tiny_store) as (engine, _):
        usual = await spoken(engine, text)
        asked = await spoken(engine, text, pronunciations=(own,))
        with pytest.raises(RequestError, match=r"'AY' is no ARPAbet phone.*AY0") as caught:
            await spoken(engine, text, pronunciations=(Pronunciation("a", "AY", PhoneticEncoding.ARPABET),))
    assert caught.value.field == "custom_pronunciations[0].pronunciation"
    assert asked.data != usual.data
    async with engine_over(store) as (engine, _):
        assert (await spoken(engine, text)).data == asked.data
        assert (await spoken(engine, text, pronunciations=(plain,))).data == usual.data
        with pytest.raises(VoiceUnusable, match=r"slate.*'AY7' is no ARPAbet phone"):
            await hear(engine.synthesizer, asking("slate", text))


async def test_without_the_normaliser_a_number_is_told_and_not_heard(engine: Engine) -> None:
    heard = await spoken(engine, "Hello to all 23 of you.", spell_out=False)
    assert [notice.code for notice in heard.notices] == ["CHARACTERS_NOT_READ"]
    assert "'23'" in heard.notices[0].message
    assert not (await spoken(engine, "Hello to all 23 of you.")).notices
