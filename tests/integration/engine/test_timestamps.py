"""Words, phones and visemes of real syntheses on tiny voices: in order, within the audio, and together all of it."""

from collections.abc import AsyncIterator
from itertools import pairwise
from pathlib import Path

import pytest
import pytest_asyncio

from tests.fixtures.engines import asking, engine_over
from tests.fixtures.live import hear_live, live_config
from voxswap_server.app import Engine
from voxswap_server.domain import (
    AudioChunk,
    AudioFormat,
    Language,
    SynthesisEvent,
    SynthesisRequest,
    Timestamp,
    TimestampKind,
    Timestamps,
)
from voxswap_server.domain_live import LiveText, UtteranceCancelled
from voxswap_server.text.visemes import VISEMES

pytestmark = pytest.mark.asyncio(loop_scope="module")
ALL = frozenset(TimestampKind)
TEXT = "Good morning to all of you, friends. How are you in 1999?"


@pytest_asyncio.fixture(loop_scope="module", scope="module")
async def engine(tiny_store: Path) -> AsyncIterator[Engine]:
    async with engine_over(tiny_store) as (engine, _):
        yield engine


async def spoken(engine: Engine, request: SynthesisRequest) -> tuple[list[Timestamps], list[SynthesisEvent], int]:
    events = [event async for event in engine.synthesizer.synthesize(request)]
    samples = sum(event.samples for event in events if isinstance(event, AudioChunk))
    return [event for event in events if isinstance(event, Timestamps)], events, samples


def of(stamps: Timestamps, kind: TimestampKind) -> list[Timestamp]:
    return [stamp for stamp in stamps.timestamps if stamp.kind is kind]


@pytest.mark.parametrize(("voice", "rate_hz"), [("amber", None), ("coral", 24000)])
@pytest.mark.parametrize("speed", [1.0, 1.7])
async def test_they_cover_each_utterance(engine: Engine, voice: str, rate_hz: int | None, speed: float) -> None:
    request = asking(
        voice, TEXT, timestamps=ALL, audio=AudioFormat(sample_rate_hz=rate_hz), speaking_rate=speed, pause_s=0.1
    )
    told, _, samples = await spoken(engine, request)
    pause = (rate_hz or 32000) // 10
    assert len(told) == 3  # as the text is cut by default: at each mark
    position = 0
    for stamps in told:
        phones = of(stamps, TimestampKind.PHONE)
        for before, after in pairwise(phones):
            assert before.end_sample <= after.start_sample
        visemes = of(stamps, TimestampKind.VISEME)
        assert abs(visemes[0].start_sample - position) <= 1
        for before, after in pairwise(visemes):
            assert before.end_sample == after.start_sample
            assert before.label != after.label
        assert visemes[0].start_sample <= phones[0].start_sample
        assert phones[-1].end_sample <= visemes[-1].end_sample
        assert {stamp.label for stamp in visemes} <= set(VISEMES)
        words = of(stamps, TimestampKind.WORD)
        for before, after in pairwise(words):
            assert before.start_sample < before.end_sample <= after.start_sample
        assert phones[0].start_sample <= words[0].start_sample
        assert words[-1].end_sample <= phones[-1].end_sample
        position = visemes[-1].end_sample + pause
    assert abs(samples - position) <= 2
    words = [stamp.label for stamps in told for stamp in of(stamps, TimestampKind.WORD)]
    assert words == ["Good", "morning", "to", "all", "of", "you", "friends", "How", "are", "you", "in", "1999"]


async def test_only_what_was_asked_for_is_sent(engine: Engine) -> None:
    none, _, _ = await spoken(engine, asking("amber", TEXT))
    words, _, _ = await spoken(engine, asking("amber", TEXT, timestamps=frozenset({TimestampKind.WORD})))
    assert none == []
    assert {stamp.kind for stamps in words for stamp in stamps.timestamps} == {TimestampKind.WORD}


async def test_chinese_characters_are_words(engine: Engine) -> None:
    request = asking("amber", "今天天气不错。", language=Language("zh"), timestamps=ALL)
    (stamps,), _, _ = await spoken(engine, request)
    assert "".join(stamp.label for stamp in of(stamps, TimestampKind.WORD)) == "今天天气不错"


async def test_silence_that_is_written_moves_what_comes_after_it(engine: Engine) -> None:
    words = frozenset({TimestampKind.WORD})
    plain, _, _ = await spoken(engine, asking("amber", "Hello there. [pause:0ms] And again.", timestamps=words))
    later, _, _ = await spoken(engine, asking("amber", "Hello there. [pause:500ms] And again.", timestamps=words))
    shifts = [
        after.start_sample - before.start_sample
        for one, two in zip(plain, later, strict=True)
        for before, after in zip(one.timestamps, two.timestamps, strict=True)
    ]
    assert shifts == [0, 0, 16000, 16000]


async def test_a_live_stream_tells_them_at_their_place_in_the_stream(engine: Engine) -> None:
    heard = await hear_live(engine.live, live_config("amber", timestamps=ALL), LiveText("Good morning. How are you?"))
    words = [stamp for stamps in heard.of(Timestamps) for stamp in of(stamps, TimestampKind.WORD)]
    assert [word.label for word in words] == ["Good", "morning", "How", "are", "you"]
    assert all(before.end_sample <= after.start_sample for before, after in pairwise(words))
    assert words[-1].end_sample <= heard.samples
    assert not heard.of(UtteranceCancelled)
