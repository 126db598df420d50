"""What every Synthesizer owes its callers: run against the fake that the transports are tested with, and the engine."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import aclosing
from dataclasses import replace
from pathlib import Path

import pytest
import pytest_asyncio

from tests.fixtures.engines import asking, engine_over, hear
from tests.fixtures.fake_engine import FakeSynthesizer
from voxswap_server.domain import (
    AudioChunk,
    AudioEncoding,
    AudioFormat,
    SamplingParams,
    StreamStarted,
    SynthesisDone,
    Synthesizer,
)
from voxswap_server.errors import DeadlineExceeded, RequestError, VoiceNotFound

pytestmark = pytest.mark.asyncio(loop_scope="module")
TEXT = "Good morning to you."


@pytest_asyncio.fixture(loop_scope="module", scope="module", params=["fake", "engine"])
async def synthesizer(request: pytest.FixtureRequest, tiny_store: Path) -> AsyncIterator[Synthesizer]:
    if request.param == "fake":
        yield FakeSynthesizer({"amber": 32000})
        return
    async with engine_over(tiny_store) as (engine, _):
        yield engine.synthesizer


async def test_first_it_starts_then_it_speaks_then_it_is_done(synthesizer: Synthesizer) -> None:
    kinds = [type(event) async for event in synthesizer.synthesize(asking("amber", TEXT))]
    assert kinds[0] is StreamStarted
    assert kinds[-1] is SynthesisDone
    assert kinds.count(StreamStarted) == kinds.count(SynthesisDone) == 1
    assert AudioChunk in kinds


async def test_chunks_are_numbered_and_lie_end_to_end(synthesizer: Synthesizer) -> None:
    heard = await hear(synthesizer, asking("amber", TEXT))
    assert heard.started is not None
    assert heard.done is not None
    position = 0
    for sequence, chunk in enumerate(heard.chunks):
        assert (chunk.sequence, chunk.start_sample) == (sequence, position)
        position += chunk.samples
    assert heard.done.samples == position == heard.pcm.size
    assert heard.done.rtf >= 0
    assert heard.done.underrun_ms >= 0


async def test_what_was_asked_is_echoed(synthesizer: Synthesizer) -> None:
    audio = AudioFormat(AudioEncoding.FLAC, sample_rate_hz=24000)
    heard = await hear(synthesizer, asking("amber", TEXT, seed=11, audio=audio))
    started = heard.started
    assert started is not None
    assert started.request_id == "test-amber-11"
    assert (started.voice_id, started.seed, started.sample_rate_hz) == ("amber", 11, 24000)
    assert started.encoding is AudioEncoding.FLAC
    assert heard.data.startswith(b"fLaC")


async def test_the_seed_that_is_told_gives_the_same_audio_again(synthesizer: Synthesizer) -> None:
    drawn = await hear(synthesizer, asking("amber", TEXT, sampling=SamplingParams(top_k=5)))
    assert drawn.started is not None
    again = await hear(synthesizer, asking("amber", TEXT, seed=drawn.started.seed))
    assert again.data == drawn.data


async def test_a_unary_answer_holds_the_same_audio(synthesizer: Synthesizer) -> None:
    request = asking("amber", TEXT, exact=True)
    assert (await hear(synthesizer, replace(request, unary=True))).data == (await hear(synthesizer, request)).data


async def test_closing_it_in_mid_stream_is_allowed_at_any_moment(synthesizer: Synthesizer) -> None:
    for stop_after in range(4):
        stream, seen = synthesizer.synthesize(asking("amber", TEXT * 4)), 0
        async for _event in stream:
            seen += 1
            if seen > stop_after:
                break
        await stream.aclose()
    assert (await hear(synthesizer, asking("amber", TEXT))).pcm.size > 0


async def test_cancelling_its_reader_harms_nobody(synthesizer: Synthesizer) -> None:
    begun = asyncio.Event()

    async def read() -> None:
        async with aclosing(synthesizer.synthesize(asking("amber", TEXT * 4))) as events:
            async for _event in events:
                begun.set()
                await asyncio.sleep(0)

    reader = asyncio.create_task(read())
    await begun.wait()
    reader.cancel()
    with pytest.raises(asyncio.CancelledError):
        await reader
    assert (await hear(synthesizer, asking("amber", TEXT))).pcm.size > 0


@pytest.mark.parametrize(
    ("encoding", "sample_bytes"), [(AudioEncoding.PCM_F32, 4), (AudioEncoding.MULAW, 1), (AudioEncoding.ALAW, 1)]
)
async def test_headerless_encodings_are_as_long_as_told(
    synthesizer: Synthesizer, encoding: AudioEncoding, sample_bytes: int
) -> None:
    heard = await hear(synthesizer, asking("amber", "Yes.", audio=AudioFormat(encoding)))
    assert heard.done is not None
    assert len(heard.data) == sample_bytes * heard.done.samples > 0


async def test_refusals(synthesizer: Synthesizer) -> None:
    with pytest.raises(VoiceNotFound, match="'nobody'"):
        await hear(synthesizer, asking("nobody", TEXT))
    with pytest.raises(RequestError) as caught:
        await hear(synthesizer, asking("amber", "  "))
    assert caught.value.field == "text"
    with pytest.raises(DeadlineExceeded):
        await hear(synthesizer, asking("amber", TEXT, deadline_s=0.0))
