"""Thirty-two live clients that switch and interrupt at random, over a real connection to a real server.

Tiny voices are deterministic, so every sample can be accounted for: between two announced changes of voice a stream is
made of nothing but takes of the announced voice, each equal to that voice's own rendering of the sentence, or of what
is left of it from a mark of punctuation on.
"""

import asyncio
import random
import re
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
import pytest_asyncio
from numpy.typing import NDArray
from prometheus_client import CollectorRegistry

from tests.fixtures.engines import asking, hear
from voxswap_client import (
    AsyncClient,
    AsyncLiveSession,
    AudioChunk,
    LiveEvent,
    Notice,
    Sampling,
    SpeechOptions,
    SwitchPoint,
    SynthesisDone,
    UtteranceCancelled,
    VoiceChanged,
)
from voxswap_server.app import Running, running
from voxswap_server.settings import Settings

pytestmark = pytest.mark.asyncio(loop_scope="module")
CLIENTS = 32
SEED = 7
VOICES = ("amber", "slate", "coral", "onyx")
SENTENCES = ("Come in, sit down. ", "It rains, stay. ", "We have tea. ")
RATE_HZ = 32_000


@pytest_asyncio.fixture(loop_scope="module", scope="module")
async def server(tiny_store: Path) -> AsyncIterator[Running]:
    settings = Settings(
        store=tiny_store,
        device={"name": "cpu", "threads": 1},
        rpc={"address": "127.0.0.1:0", "drain_grace_s": 0.0},
        metrics={"enabled": False},
        scheduling={"batching": False},  # equal to the byte, whoever else speaks
        voices={"built_in": False},
    )
    async with running(settings, CollectorRegistry()) as server:
        yield server


@dataclass
class Caller:
    """One client: it plays what it hears at once, and at each chunk may do anything."""

    chance: random.Random
    session: AsyncLiveSession = None  # type: ignore[assignment]
    left: int = len(SENTENCES)
    """Sentences that it has not said yet."""
    quiet_chunks: int = 0
    """Since it said something."""
    pcm: bytearray = field(default_factory=bytearray)
    changes: list[tuple[int, str]] = field(default_factory=list)
    cuts: list[int] = field(default_factory=list)
    """First samples after a barge-in."""
    notices: list[str] = field(default_factory=list)
    longest_fade: int = 0
    done: SynthesisDone | None = None

    @property
    def samples(self) -> int:
        return len(self.pcm) // 2

    async def call(self, client: AsyncClient) -> None:
        options = SpeechOptions(language_code="en", sampling=Sampling(top_k=5, seed=SEED))
        voice, ahead_s = self.chance.choice(VOICES), self.chance.choice([0.2, 0.5, 1.0])
        self.changes.append((0, voice))
        async with client.live(voice, options, max_ahead_s=ahead_s) as self.session:
            if self.chance.random() < 0.3:
                self.switch()
            self.say()
            async for event in self.session:
                self.hear(event)

    def hear(self, event: LiveEvent) -> None:
        match event:
            case AudioChunk():
                assert event.start_sample == self.samples
                self.pcm += event.data
                self.session.playhead(self.samples)
                self.act()
            case VoiceChanged():
                assert event.start_sample == self.samples
                self.changes.append((event.start_sample, event.voice_id))
            case UtteranceCancelled():
                assert event.next_sample == self.samples
                self.cuts.append(event.next_sample)
                self.say()
            case Notice():
                self.notices.append(event.code)
            case SynthesisDone():
                self.done = event

    def act(self) -> None:
        """Anything may happen while there is something left to say; it is said before the audio ends, or never."""
        if not self.left:
            return
        self.quiet_chunks += 1
        if self.chance.random() < 0.4:
            self.switch()
        if self.chance.random() < 0.04:
            self.session.stop()
        elif self.quiet_chunks == 3 or self.chance.random() < 0.2:
            self.say()

    def say(self) -> None:
        """The next sentence, in two pieces; after the last one nothing more is said."""
        if not self.left:
            return
        sentence = SENTENCES[-self.left]
        split = self.chance.randrange(len(sentence))
        self.session.say(sentence[:split])
        self.session.say(sentence[split:])
        self.session.flush()
        self.left, self.quiet_chunks = self.left - 1, 0
        if not self.left:
            self.session.end()

    def switch(self) -> None:
        voice = self.chance.choice((*VOICES, *VOICES, "nobody"))
        fade_ms = self.chance.choice([0, 0, 20, 100])
        self.longest_fade = max(self.longest_fade, fade_ms * RATE_HZ // 1000)
        self.session.switch(voice, self.chance.choice(list(SwitchPoint)), fade_ms)


class Renderings:
    """Each voice's own rendering of each sentence, and of what is left of it from each mark on."""

    def __init__(self, server: Running) -> None:
        self._server = server
        self._known: dict[tuple[str, int, int], NDArray[np.int16]] = {}

    async def of(self, voice: str, number: int, start: int) -> NDArray[np.int16]:
        key = voice, number, start
        if key not in self._known:
            request = asking(voice, SENTENCES[number][start:], seed=SEED + number)
            self._known[key] = (await hear(self._server.engine.synthesizer, request)).pcm
        return self._known[key]

    async def account_for(self, stream: Caller) -> None:
        """Raises: AssertionError, a sample belongs to nothing that may be heard there."""
        pcm = np.frombuffer(bytes(stream.pcm), "<i2")
        edges = sorted({start for start, _ in stream.changes} | set(stream.cuts) | {pcm.size})
        number = 0
        for start, end in pairwise(edges):
            voice = [changed for at, changed in stream.changes if at <= start][-1]
            position = start
            while position < end:
                faded = position + stream.longest_fade if position == start and start else position
                number, length = await self._take(voice, number, pcm, position, min(faded, end), end)
                position += length
        assert pcm.size > 0

    async def _take(
        self, voice: str, number: int, pcm: NDArray[np.int16], position: int, faded: int, end: int
    ) -> tuple[int, int]:
        """The take that begins here: (number of the next sentence that may come, how many samples of it there are)."""
        for sentence in range(max(0, number - 1), len(SENTENCES)):
            starts = [0, *(match.end() for match in re.finditer(r", ", SENTENCES[sentence]))]
            for start in starts:
                made = await self.of(voice, sentence, start)
                stop = min(end, position + made.size)
                if faded < stop and (pcm[faded:stop] == made[faded - position : stop - position]).all():
                    return sentence + 1, stop - position
        if faded >= end:  # nothing but the fade of a voice that was switched away at once
            return number, end - position
        pytest.fail(f"samples {faded} to {end} are not of voice {voice!r}")


async def test_every_sample_is_of_the_voice_that_was_announced(server: Running) -> None:
    async with AsyncClient(f"127.0.0.1:{server.rpc.port}") as client:
        streams = [Caller(random.Random(number)) for number in range(CLIENTS)]
        await asyncio.gather(*(stream.call(client) for stream in streams))
    renderings = Renderings(server)
    for stream in streams:
        assert stream.done is not None
        assert stream.done.samples == stream.samples
        assert set(stream.notices) <= {"VOICE_NOT_FOUND", "SWITCH_REPLACED", "SWITCH_NOT_REACHED"}
        await renderings.account_for(stream)
    changes = sum(len(stream.changes) - 1 for stream in streams)
    assert changes > CLIENTS // 2
    assert sum(bool(stream.cuts) for stream in streams) > 0
    assert all(resident.leases == 0 for resident in server.engine.residency.residents())
