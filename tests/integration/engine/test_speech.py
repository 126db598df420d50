"""One request through the real engine on tiny voices: what is heard, what is told, and every way to be refused."""

import asyncio
import time
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path

import pytest
import pytest_asyncio

from tests.fixtures.engines import asking, engine_over, hear
from voxswap_server.app import Engine
from voxswap_server.domain import (
    AudioChunk,
    AudioEncoding,
    AudioFormat,
    CacheState,
    CutMethod,
    Language,
    LanguageMode,
    Prompt,
    SamplingParams,
)
from voxswap_server.errors import (
    BadReferenceAudio,
    DeadlineExceeded,
    RequestError,
    TextTooLong,
    UnsupportedLanguage,
    VoiceNotFound,
)

TEXT = "Good morning to all of you. How are you today?"


pytestmark = pytest.mark.asyncio(loop_scope="module")


@pytest_asyncio.fixture(loop_scope="module", scope="module")
async def engine(tiny_store: Path) -> AsyncIterator[Engine]:
    """One for all tests that need no settings of their own."""
    async with engine_over(tiny_store) as (engine, _):
        yield engine


async def test_speech_is_heard_told_and_repeatable(engine: Engine) -> None:
    first = await hear(engine.synthesizer, asking("amber", TEXT))
    again = await hear(engine.synthesizer, asking("amber", TEXT))
    other = await hear(engine.synthesizer, asking("amber", TEXT, seed=8))
    assert first.started is not None
    assert first.done is not None
    assert (first.started.cache_state, first.started.sample_rate_hz) == (CacheState.DISK, 32000)
    assert first.started.seed == 7
    assert first.started.load_ms > 0
    assert first.done.samples == first.pcm.size > 32000 // 4
    assert first.done.utterances == 2
    assert first.done.semantic_tokens * 1280 + 2 * 9600 == first.pcm.size  # 25 a second, and two pauses of 0.3 s
    assert [chunk.sequence for chunk in first.chunks] == list(range(len(first.chunks)))
    offsets = [chunk.start_sample for chunk in first.chunks]
    assert offsets == [sum(c.samples for c in first.chunks[:index]) for index in range(len(first.chunks))]
    assert again.started is not None
    assert again.started.cache_state is CacheState.DEVICE
    assert again.data == first.data
    assert other.data != first.data


async def test_voices_differ_and_every_version_speaks(engine: Engine) -> None:
    heard = [await hear(engine.synthesizer, asking(name, TEXT)) for name in ("amber", "slate", "coral", "onyx")]
    assert len({one.data for one in heard}) == 4
    assert all(abs(one.pcm.astype(int)).max() > 100 for one in heard)


async def test_a_seed_is_drawn_and_told_when_none_is_given(engine: Engine) -> None:
    drawn = await hear(engine.synthesizer, asking("amber", "Hello there.", sampling=SamplingParams(top_k=5)))
    assert drawn.started is not None
    seed = drawn.started.seed
    replayed = await hear(engine.synthesizer, asking("amber", "Hello there.", seed=seed))
    assert replayed.data == drawn.data


async def test_a_prompt_of_the_request_replaces_the_voices_own(tiny_store: Path) -> None:
    from voxswap_server.demo.tiny import tiny_prompt

    async with engine_over(tiny_store) as (engine, registry):
        own = await hear(engine.synthesizer, asking("amber", "Hello there."))
        prompt = tiny_prompt(99)
        cloned = await hear(engine.synthesizer, asking("amber", "Hello there.", prompt=prompt))
        again = await hear(engine.synthesizer, asking("amber", "Hello there.", prompt=prompt))
        silent = Prompt(prompt.audio, "", Language("en"))
        unprompted = await hear(engine.synthesizer, asking("amber", "Hello there.", prompt=silent))
        looked = {
            result: registry.get_sample_value("voxswap_cache_lookups_total", {"cache": "prompts", "result": result})
            for result in ("hit", "miss")
        }
    assert len({own.data, cloned.data, unprompted.data}) == 3
    assert again.data == cloned.data
    assert looked == {"hit": 2, "miss": 2}


@pytest.mark.parametrize("encoding", list(AudioEncoding))
async def test_every_encoding_says_how_much_it_holds(engine: Engine, encoding: AudioEncoding) -> None:
    audio = AudioFormat(encoding, sample_rate_hz=24000, volume_gain_db=-6)
    heard = await hear(engine.synthesizer, asking("amber", "Hello there.", audio=audio))
    plain = await hear(engine.synthesizer, asking("amber", "Hello there."))
    assert heard.started is not None
    assert heard.done is not None
    assert heard.started.sample_rate_hz == 24000
    assert abs(heard.done.samples - plain.pcm.size * 24000 / 32000) <= 1
    assert len(heard.data) > 1000


async def test_faster_speech_is_shorter(engine: Engine) -> None:
    plain = await hear(engine.synthesizer, asking("amber", TEXT, pause_s=0.0))
    fast = await hear(engine.synthesizer, asking("amber", TEXT, pause_s=0.0, speaking_rate=2.0))
    assert fast.pcm.size == pytest.approx(plain.pcm.size / 2, rel=0.1)


async def test_cuts_decide_how_many_utterances_there_are(engine: Engine) -> None:
    joined = await hear(engine.synthesizer, asking("amber", TEXT, cut_method=CutMethod.NONE))
    cut = await hear(engine.synthesizer, asking("amber", TEXT, cut_method=CutMethod.PUNCTUATION))
    assert joined.done is not None
    assert cut.done is not None
    assert (joined.done.utterances, cut.done.utterances) == (1, 2)


@pytest.mark.parametrize(
    ("changes", "error", "told"),
    [
        ({"voice_id": "ambre"}, VoiceNotFound, "did you mean amber"),
        ({"text": "   "}, RequestError, "empty"),
        ({"text": "?!"}, RequestError, "nothing to speak"),
        ({"text": "word " * 5000}, TextTooLong, "25000 characters"),
        ({"language": Language("fr")}, UnsupportedLanguage, "'fr'"),
        ({"language": Language("en", LanguageMode.AUTO)}, UnsupportedLanguage, "'en'"),
        ({"prompt": Prompt(b"not audio", "hello", Language("en"))}, BadReferenceAudio, "audio"),
        ({"audio": AudioFormat(AudioEncoding.OGG_OPUS, sample_rate_hz=44100)}, RequestError, "44100"),
        ({"deadline_s": 0.0}, DeadlineExceeded, "deadline"),
    ],
)
async def test_a_refusal_is_typed_and_leaves_nothing_behind(
    engine: Engine, changes: dict[str, object], error: type[Exception], told: str
) -> None:
    request = asking("amber", "Hello there.")
    with pytest.raises(error, match=told):
        await hear(engine.synthesizer, replace(request, **changes))  # type: ignore[arg-type]
    assert all(resident.leases == 0 for resident in engine.residency.residents())
    assert (await hear(engine.synthesizer, request)).pcm.size > 0


async def test_what_a_caller_is_told_is_counted(tiny_store: Path) -> None:
    async with engine_over(tiny_store) as (engine, registry):
        heard = await hear(engine.synthesizer, asking("amber", "Hello there. \U0001f600"))
        assert [notice.code for notice in heard.notices] == ["CHARACTERS_NOT_READ"]
        assert registry.get_sample_value("voxswap_notices_total", {"code": "CHARACTERS_NOT_READ"}) == 1


async def test_a_caller_that_goes_away_frees_its_place_at_once(tiny_store: Path) -> None:
    async with engine_over(tiny_store, admission={"max_running": 1}) as (engine, registry):
        stream = engine.synthesizer.synthesize(asking("amber", TEXT * 20))
        async for event in stream:
            if isinstance(event, AudioChunk):
                break
        await stream.aclose()
        assert all(resident.leases == 0 for resident in engine.residency.residents())
        assert (await hear(engine.synthesizer, asking("amber", "Hello there."))).pcm.size > 0
        assert registry.get_sample_value("voxswap_cancel_to_release_seconds_count") == 1


async def test_a_deadline_in_mid_stream_ends_it_with_its_own_error(engine: Engine) -> None:
    await hear(engine.synthesizer, asking("amber", "Hello there."))  # resident, front-end loaded
    with pytest.raises(DeadlineExceeded):
        await hear(engine.synthesizer, asking("amber", TEXT * 100, deadline_s=time.monotonic() + 0.5))
    assert all(resident.leases == 0 for resident in engine.residency.residents())


async def test_a_reader_that_stalls_does_not_hold_up_another(tiny_store: Path) -> None:
    async with engine_over(tiny_store, worker={"max_ahead_s": 1.0}) as (engine, _):
        stalled = engine.synthesizer.synthesize(asking("amber", TEXT * 20))
        await anext(stalled)  # started, and then it reads no more
        other = await hear(engine.synthesizer, asking("slate", TEXT))
        assert other.pcm.size > 0
        assert (await asyncio.wait_for(anext(stalled), 60)) is not None
        await stalled.aclose()
