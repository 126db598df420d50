"""Speaks a request: admit, lease the voice, front-end, submit, yield. Implements `domain.Synthesizer`.

Knows nothing of gRPC and computes nothing itself: the front-end runs in a text pool, the networks on the device
thread, codecs in an audio pool. One path serves every kind of call; a unary answer is the joined stream.
"""

import asyncio
import secrets
from collections import deque
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Iterator
from concurrent.futures import Executor
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from functools import partial
from typing import Protocol

from voxswap_server.domain import (
    AudioChunk,
    Notice,
    StreamStarted,
    SynthesisDone,
    SynthesisEvent,
    SynthesisRequest,
    Timestamps,
)
from voxswap_server.engine.admission import Admission
from voxswap_server.engine.alignment import Scale, timestamps
from voxswap_server.engine.estimates import Estimates
from voxswap_server.engine.foresight import Foresight
from voxswap_server.engine.job import Outbox, Samples, UtteranceAligned, UtteranceRetried, UtteranceSpoken
from voxswap_server.engine.networks import Networks
from voxswap_server.engine.output import OutputStream
from voxswap_server.engine.parameters import Parameters, resolve
from voxswap_server.engine.prompts import Prompts
from voxswap_server.engine.residency.contract import Lease
from voxswap_server.engine.residency.manager import ResidencyManager
from voxswap_server.engine.sent import Sent, SentMetrics
from voxswap_server.engine.speaking import LookAhead, SpeechLine, speak
from voxswap_server.engine.super_sampling import super_sampled
from voxswap_server.engine.tally import Tally
from voxswap_server.engine.text_encoder import TextEncoding
from voxswap_server.engine.uninterrupted import uninterrupted
from voxswap_server.engine.voice import Voice
from voxswap_server.engine.worker import Worker
from voxswap_server.errors import DeadlineExceeded, DegenerateAudio, RequestError, TextTooLong
from voxswap_server.logs import annotate, current_trace_id
from voxswap_server.text.languages import upstream_code
from voxswap_server.text.utterances import Manner, Script
from voxswap_server.tracing import NO_TRACING, Tracing


class SynthesisMetrics(SentMetrics, Protocol):
    """What one request adds to the numbers."""

    def queued(self, seconds: float, trace_id: str = "") -> None: ...
    def synthesized(self, *, rtf: float, underrun_s: float, semantic_tokens: int, trace_id: str = "") -> None: ...
    def released(self, seconds: float, trace_id: str = "") -> None: ...
    def degenerate(self, fault: str, *, retried: bool) -> None: ...
    def noticed(self, code: str) -> None: ...


@dataclass(frozen=True, slots=True)
class SpeechConfig:
    """Limits of one request."""

    max_text_characters: int = 20_000
    text_look_ahead: int = 2
    """Utterances whose phones may be ready before the device asks for them."""
    look_ahead_utterances: int = 3
    """Utterances of one request whose tokens may be drawn at once."""
    look_ahead_s: float = 20.0
    """No further utterance is begun while tokens for so much audio wait."""


@dataclass(frozen=True, slots=True)
class Services:
    """What a synthesizer stands on; `app.engine` puts it together."""

    admission: Admission
    residency: ResidencyManager[Voice]
    networks: Networks
    foresight: Foresight
    text: TextEncoding
    prompts: Prompts
    worker: Worker
    audio_pool: Executor
    metrics: SynthesisMetrics
    clock: Callable[[], float]
    """Monotonic seconds."""
    tracing: Tracing = NO_TRACING


class EngineSynthesizer:
    """The synthesis path of the server."""

    def __init__(self, services: Services, config: SpeechConfig) -> None:
        self._on = services
        self._config = config
        self._look_ahead = LookAhead(config.look_ahead_utterances, config.look_ahead_s)
        self._estimates = Estimates()

    async def synthesize(self, request: SynthesisRequest) -> AsyncGenerator[SynthesisEvent, None]:
        """As `domain.Synthesizer.synthesize`."""
        accepted_s = self._on.clock()
        self._check(request)
        demand = self._estimates.demand(request.voice_id, request.text, speed=request.speaking_rate)
        meanwhile = partial(self._on.residency.ahead, request.voice_id)
        async with self._on.admission.turn(request.deadline_s, demand, meanwhile=meanwhile) as queue_s:
            self._on.metrics.queued(queue_s, current_trace_id())
            self._on.tracing.past("queue", accepted_s, accepted_s + queue_s)
            async with self._lease(request) as lease:
                tally = Tally(accepted_s, Sent(self._on.metrics, self._on.tracing), demand, queue_s)
                events = self._speak(request, lease, tally)
                try:
                    async for event in events:
                        if isinstance(event, Notice):
                            self._on.metrics.noticed(event.code)
                        yield event
                finally:
                    await events.aclose()

    def _check(self, request: SynthesisRequest) -> None:
        limit = self._config.max_text_characters
        if len(request.text) > limit:
            raise TextTooLong(
                f"the text has {len(request.text)} characters; this server speaks at most {limit} a request",
                field="text",
            )
        if not request.text.strip():
            raise RequestError("the text is empty", field="text")

    @asynccontextmanager
    async def _lease(self, request: SynthesisRequest) -> AsyncIterator["Lease[Voice]"]:
        """A lease, unless the deadline comes before the voice; the shared networks that it will want come first."""
        deadline_s, asked_s = request.deadline_s, self._on.clock()
        async with AsyncExitStack() as held:
            try:
                async with asyncio.timeout(None if deadline_s is None else deadline_s - self._on.clock()):
                    await held.enter_async_context(self._on.foresight.networks(request))
                    lease = await held.enter_async_context(self._on.residency.lease(request.voice_id))
            except TimeoutError:
                raise DeadlineExceeded(
                    f"the deadline of the request passed while voice {request.voice_id!r} was being loaded"
                ) from None
            finally:
                self._on.tracing.past("load", asked_s, self._on.clock(), voice=request.voice_id)
            yield lease

    async def _speak(
        self, request: SynthesisRequest, lease: "Lease[Voice]", tally: Tally
    ) -> AsyncGenerator[SynthesisEvent, None]:
        voice, spec = lease.bundle, lease.bundle.spec
        params = resolve(request, voice, seed=secrets.randbits(63))
        code = upstream_code(request.language, spec.symbols)
        manner = await self._on.text.manner(request, voice)
        read_s = self._on.clock()
        script = await self._on.text.script(request.text, code, params.cut)
        self._on.tracing.past("cut", read_s, self._on.clock(), lines=len(script.lines))
        output = OutputStream(request.audio, params.rate_hz, whole=request.unary)
        yield StreamStarted(
            request_id=request.request_id,
            voice_id=lease.voice_id,
            encoding=request.audio.encoding,
            sample_rate_hz=output.rate_hz,
            channels=1,
            model_generation=lease.generation,
            cache_state=lease.cache_state,
            load_ms=lease.load_ms,
            seed=params.speech.seed,
        )
        notices = set(script.notices)
        for notice in script.notices:
            yield notice
        lines = self._lines(script, code, spec.symbols, manner)
        async with self._job(request, voice, params, lines, tally) as outbox:
            async for item in outbox.items():
                if isinstance(item, Notice):
                    if item not in notices:
                        notices.add(item)
                        yield item
                elif isinstance(item, UtteranceAligned | UtteranceSpoken | UtteranceRetried):
                    if (event := self._noted(item, request, output, tally)) is not None:
                        yield event
                else:
                    tally.made_samples += item.size
                    if (chunk := await self._chunk(item, output, lease, tally)) is not None:
                        yield chunk
        if (last := await self._chunk(None, output, lease, tally)) is not None:
            yield last
        self._estimates.learn(
            request.voice_id,
            spec.version,
            request.text,
            speed=request.speaking_rate,
            audio_s=tally.sent.samples / output.rate_hz,
            device_s=tally.device_s,
        )
        yield self._done(output, tally)

    def _noted(
        self,
        note: UtteranceAligned | UtteranceSpoken | UtteranceRetried,
        request: SynthesisRequest,
        output: OutputStream,
        tally: Tally,
    ) -> Timestamps | Notice | None:
        """Books what became of an utterance; returns what the caller is to know of it."""
        match note:
            case UtteranceAligned():
                scale = Scale(tally.made_samples - note.samples, output.voice_rate_hz, output.rate_hz)
                stamps = timestamps(note, request.timestamps, scale)
                return Timestamps(stamps) if stamps else None
            case UtteranceSpoken():
                tally.utterances += 1
                tally.semantic_tokens += note.semantic_tokens
                return None
            case UtteranceRetried():
                tally.retried += 1
                self._on.metrics.degenerate(note.fault, retried=True)
                return Notice("UTTERANCE_RETRIED", f"an utterance is spoken again, with another seed: {note.message}")

    def _lines(self, script: Script, code: str, symbols: str, manner: Manner) -> Iterator[SpeechLine]:
        """Routines that encode the utterances; the front-end runs a few of them ahead."""
        ahead: deque[SpeechLine] = deque()
        for line in script.lines:
            text = self._on.text.utterance(line.text, code, symbols, manner) if line.text else None
            ahead.append(SpeechLine(text, line.pause_ms))
            if len(ahead) > self._config.text_look_ahead:
                yield ahead.popleft()
        yield from ahead

    @asynccontextmanager
    async def _job(
        self, request: SynthesisRequest, voice: Voice, params: Parameters, lines: Iterator[SpeechLine], tally: Tally
    ) -> AsyncIterator[Outbox]:
        """The request on the device thread. When the block ends, however it ends, the thread has let go of it."""
        worker, clock = self._on.worker, self._on.clock
        routine = speak(voice, params.speech, self._on.prompts.encode(voice, request.prompt), lines, self._look_ahead)
        if params.super_sampled:
            routine = super_sampled(routine, self._on.networks, whole=params.speech.exact)
        outbox = Outbox(params.rate_hz, asyncio.get_running_loop(), worker.wake)
        job = worker.submit(
            request.request_id,
            routine,
            outbox,
            rate_hz=params.rate_hz,
            accepted_s=tally.accepted_s,
            deadline_s=request.deadline_s,
            batch=not params.speech.live,
        )
        try:
            yield outbox
        except DegenerateAudio as error:
            self._on.metrics.degenerate(error.fault, retried=False)
            raise
        finally:
            tally.device_s = job.device_s
            if not job.ended.done():
                cancelled_s = clock()
                worker.cancel(job)
                # Shielded: the weights stay leased until the device thread does not touch them any more.
                await uninterrupted(asyncio.wrap_future(job.ended))
                self._on.metrics.released(clock() - cancelled_s, current_trace_id())
            job.timeline.trace(self._on.tracing)

    async def _chunk(
        self, samples: Samples | None, output: OutputStream, lease: "Lease[Voice]", tally: Tally
    ) -> AudioChunk | None:
        """The next chunk, booked; with None the last one. There is none where the codec keeps all for its next frame.

        Codecs run in a pool: an event loop that encodes MP3 serves nobody else meanwhile.
        """
        encode = output.finish if samples is None else partial(output.push, samples)
        encoded = await asyncio.get_running_loop().run_in_executor(self._on.audio_pool, encode)
        return tally.chunk(encoded, output.rate_hz, self._on.clock(), warm=lease.load_ms == 0)

    def _done(self, output: OutputStream, tally: Tally) -> SynthesisDone:
        done = tally.done(output.rate_hz, self._on.clock())
        self._on.metrics.synthesized(
            rtf=done.rtf,
            underrun_s=tally.playback.underrun_s,
            semantic_tokens=tally.semantic_tokens,
            trace_id=current_trace_id(),
        )
        annotate(utterances=tally.utterances, semantic_tokens=tally.semantic_tokens)
        return done
