"""What every `domain.Synthesizer` keeps, written once. A subclass of `SynthesizerContract` brings a subject.

Knows nothing of fakes or engines: only of the protocol.
"""

import asyncio
from collections.abc import Callable
from contextlib import aclosing
from dataclasses import dataclass

import pytest

from tests.fixtures.engines import Heard, asking, hear
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

TEXT = "Good morning. How are you today?"


@dataclass(frozen=True)
class Subject:
    """A synthesizer under test."""

    synthesizer: Synthesizer
    voices: tuple[str, str]
    """Two voices that it has."""
    clock: Callable[[], float]
    """The one that deadlines are read from."""
    held: Callable[[], int]
    """How many requests hold something of it now."""


class SynthesizerContract:
    """Subclasses override the fixture `subject`."""

    @pytest.fixture
    def subject(self):
        raise NotImplementedError("a subclass brings the subject")

    async def test_events_come_in_their_order(self, subject):
        request = asking(subject.voices[0], TEXT)
        events = [event async for event in subject.synthesizer.synthesize(request)]
        assert isinstance(events[0], StreamStarted)
        assert isinstance(events[-1], SynthesisDone)
        assert not any(isinstance(event, StreamStarted | SynthesisDone) for event in events[1:-1])
        assert any(isinstance(event, AudioChunk) for event in events)

    async def test_what_starts_is_what_was_asked(self, subject):
        asked = asking(subject.voices[1], TEXT, audio=AudioFormat(sample_rate_hz=16000))
        started = (await hear(subject.synthesizer, asked)).started
        assert (started.request_id, started.voice_id) == (asked.request_id, subject.voices[1])
        assert (started.encoding, started.sample_rate_hz, started.channels) == (AudioEncoding.PCM_S16, 16000, 1)
        assert started.seed == asked.sampling.seed
        assert started.model_generation >= 1
        assert started.load_ms >= 0

    async def test_chunks_join_without_gap_or_overlap(self, subject):
        heard = await hear(subject.synthesizer, asking(subject.voices[0], TEXT))
        position = 0
        for number, chunk in enumerate(heard.chunks):
            assert (chunk.sequence, chunk.start_sample) == (number, position)
            position += chunk.samples
        assert heard.done.samples == position == len(heard.data) // 2 > 0

    @pytest.mark.parametrize(
        ("encoding", "sample_bytes"),
        [
            (AudioEncoding.PCM_S16, 2),
            (AudioEncoding.PCM_F32, 4),
            (AudioEncoding.MULAW, 1),
            (AudioEncoding.ALAW, 1),
        ],
    )
    async def test_headerless_encodings_are_as_long_as_told(self, subject, encoding, sample_bytes):
        asked = asking(subject.voices[0], TEXT, audio=AudioFormat(encoding))
        heard = await hear(subject.synthesizer, asked)
        assert len(heard.data) == sample_bytes * heard.done.samples

    async def test_the_same_seed_is_the_same_audio(self, subject):
        first = await hear(subject.synthesizer, asking(subject.voices[0], TEXT, seed=11))
        again = await hear(subject.synthesizer, asking(subject.voices[0], TEXT, seed=11))
        assert first.data == again.data

    async def test_a_drawn_seed_replays(self, subject):
        drawn = await hear(subject.synthesizer, asking(subject.voices[0], TEXT, sampling=SamplingParams(top_k=5)))
        replayed = asking(subject.voices[0], TEXT, sampling=SamplingParams(top_k=5, seed=drawn.started.seed))
        assert (await hear(subject.synthesizer, replayed)).data == drawn.data

    async def test_a_unary_request_has_the_audio_of_the_stream(self, subject):
        streamed = await hear(subject.synthesizer, asking(subject.voices[0], TEXT))
        whole = await hear(subject.synthesizer, asking(subject.voices[0], TEXT, unary=True))
        assert whole.data == streamed.data

    async def test_voices_do_not_mix(self, subject):
        one, other = subject.voices
        alone = [await hear(subject.synthesizer, asking(voice, TEXT)) for voice in (one, other)]
        assert alone[0].data != alone[1].data
        together = await asyncio.gather(*(hear(subject.synthesizer, asking(voice, TEXT)) for voice in (one, other) * 2))
        assert [heard.data for heard in together] == [alone[0].data, alone[1].data] * 2

    async def test_a_voice_that_is_not_there_is_refused(self, subject):
        with pytest.raises(VoiceNotFound, match="'nobody'"):
            await hear(subject.synthesizer, asking("nobody", TEXT))
        assert subject.held() == 0

    async def test_a_text_without_anything_to_say_is_refused(self, subject):
        with pytest.raises(RequestError) as caught:
            await hear(subject.synthesizer, asking(subject.voices[0], " \n "))
        assert caught.value.field == "text"
        assert subject.held() == 0

    async def test_a_deadline_in_the_past_is_refused(self, subject):
        asked = asking(subject.voices[0], TEXT, deadline_s=subject.clock() - 1.0)
        with pytest.raises(DeadlineExceeded):
            await hear(subject.synthesizer, asked)
        assert subject.held() == 0

    async def test_closing_gives_everything_back_and_harms_nobody(self, subject):
        expected = await hear(subject.synthesizer, asking(subject.voices[0], TEXT))
        async with aclosing(subject.synthesizer.synthesize(asking(subject.voices[0], TEXT * 20))) as events:
            async for event in events:
                if isinstance(event, AudioChunk):
                    break
            assert subject.held() == 1
        assert subject.held() == 0
        assert (await hear(subject.synthesizer, asking(subject.voices[0], TEXT))).data == expected.data

    async def test_cancelling_the_reader_gives_everything_back(self, subject):
        begun = asyncio.Event()

        async def read() -> Heard:
            async with aclosing(subject.synthesizer.synthesize(asking(subject.voices[0], TEXT * 20))) as events:
                async for _ in events:
                    begun.set()
            return Heard()

        reader = asyncio.create_task(read())
        await begun.wait()
        reader.cancel()
        with pytest.raises(asyncio.CancelledError):
            await reader
        assert subject.held() == 0
