"""A live stream on the event loop: drives a `Stage` and is its backstage.

Knows nothing of gRPC or WebSockets, and decides nothing: what is heard when is the stage's business.
"""

import asyncio
import secrets
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable
from dataclasses import replace
from functools import partial
from typing import Protocol

import numpy as np
import structlog

from voxswap_server.audio.encode import choose_rate
from voxswap_server.domain import AudioChunk, Notice, StreamStarted, SynthesisDone
from voxswap_server.domain_live import LiveConfig, LiveEvent, LiveMessage, VoiceChanged
from voxswap_server.engine.alignment import Scale, timestamps
from voxswap_server.engine.job import Item, Samples, UtteranceAligned, UtteranceRetried, UtteranceSpoken
from voxswap_server.engine.live.hold import Hold
from voxswap_server.engine.live.lead_in import LeadIn
from voxswap_server.engine.live.limits import LiveLimits, pace, parts
from voxswap_server.engine.live.performer import Performer, performing
from voxswap_server.engine.live.stage import Stage
from voxswap_server.engine.live.take import Cast, Take, located
from voxswap_server.engine.live.tally import LiveTally
from voxswap_server.engine.output import Encoded, OutputStream
from voxswap_server.engine.sent import Sent
from voxswap_server.engine.synthesizer import Services
from voxswap_server.engine.uninterrupted import uninterrupted
from voxswap_server.errors import DeadlineExceeded, EngineError, VoxswapError
from voxswap_server.logs import annotate, current_trace_id

log = structlog.get_logger(__name__)


class LiveMetrics(Protocol):
    """What live streams add to the numbers."""

    def live_streams(self, count: int) -> None: ...
    def voice_switched(self, outcome: str) -> None: ...
    def underruns(self, count: int) -> None: ...


class LiveStream:
    """One stream. Read `events` to the end or close it; then everything was given back.

    Args:
        services: of the engine.
        limits: of live streams.
        metrics: told of switches and underruns.
        config: what the client asked for.
    """

    def __init__(self, services: Services, limits: LiveLimits, metrics: LiveMetrics, config: LiveConfig) -> None:
        self._on = services
        self._limits = limits
        self._metrics = metrics
        self._config = config
        self._request = config.speech
        seed = config.speech.sampling.seed
        self._seed = secrets.randbits(63) if seed is None else seed
        self._changed = asyncio.Event()
        self._moved = asyncio.Event()
        """Set for an instant whenever something may have left the stage; a sentence may be left out without a sound."""
        self._holds: list[Hold] = []
        self._failure: VoxswapError | None = None
        self._tally = LiveTally(Sent(services.metrics, services.tracing))

    async def events(self, messages: AsyncIterator[LiveMessage]) -> AsyncGenerator[LiveEvent, None]:
        """As `domain_live.LiveSynthesizer.live`."""
        reader: asyncio.Task[None] | None = None
        try:
            cast = Cast(self._request.voice_id)
            audio, rate_hz = self._request.audio, await self._first(cast)
            self._rate_hz = choose_rate(audio.encoding, rate_hz, asked_hz=audio.sample_rate_hz)
            output = OutputStream(replace(audio, sample_rate_hz=self._rate_hz), self._rate_hz, whole=False)
            paced = pace(self._limits, self._rate_hz, self._config.max_ahead_s)
            self._stage = Stage(cast, self._rate_hz, self._request.speaking_rate, self, paced)
            reader = asyncio.create_task(self._guarded(partial(self._read, messages)))
            yield self._started(cast)
            async for event in self._played(output):
                yield event
        finally:
            await uninterrupted(self._close(reader))

    # --- out -----------------------------------------------------------------------------------------------------

    async def _played(self, output: OutputStream) -> AsyncGenerator[LiveEvent, None]:
        stage = self._stage
        while True:
            self._changed.clear()
            if self._failure is not None:
                raise self._failure
            made = stage.next_output(self._on.clock())
            self._moved.set()
            self._moved.clear()
            if made is None:
                if stage.finished:
                    break
                await self._wait(stage.wake_s)
                continue
            if isinstance(made, VoiceChanged):
                self._metrics.voice_switched("done")
                self._on.tracing.event("voice changed", voice=made.voice_id, sample=made.start_sample)
            elif isinstance(made, Notice):
                self._on.metrics.noticed(made.code)
            if not isinstance(made, np.ndarray):
                yield made
            elif (chunk := self._booked(await self._pooled(output.push, made))) is not None:
                yield chunk
        if (last := self._booked(await self._pooled(output.finish))) is not None:
            yield last
        yield self._done()

    async def _pooled(self, work: Callable[..., Encoded], *arguments: Samples) -> Encoded:
        return await asyncio.get_running_loop().run_in_executor(self._on.audio_pool, work, *arguments)

    def _booked(self, encoded: Encoded) -> AudioChunk | None:
        return self._tally.chunk(encoded, self._rate_hz, self._on.clock())

    async def _wait(self, wake_s: float | None) -> None:
        """Until something changes, or it is time."""
        deadline_s = self._request.deadline_s
        moments = [moment for moment in (wake_s, deadline_s) if moment is not None]
        try:
            async with asyncio.timeout(min(moments) - self._on.clock() if moments else None):
                await self._changed.wait()
        except TimeoutError:
            if deadline_s is not None and self._on.clock() >= deadline_s:
                raise DeadlineExceeded("the deadline of the stream passed") from None

    def _started(self, cast: Cast) -> StreamStarted:
        self._tally.load_ms = cast.load_ms
        return StreamStarted(
            request_id=self._request.request_id,
            voice_id=cast.voice_id,
            encoding=self._request.audio.encoding,
            sample_rate_hz=self._rate_hz,
            channels=1,
            model_generation=cast.generation,
            cache_state=cast.cache_state,
            load_ms=cast.load_ms,
            seed=self._seed,
        )

    def _done(self) -> SynthesisDone:
        tally, playback = self._tally, self._stage.listener.playback
        done = tally.done(playback)
        self._on.metrics.synthesized(
            rtf=done.rtf,
            underrun_s=playback.underrun_s,
            semantic_tokens=tally.semantic_tokens,
            trace_id=current_trace_id(),
        )
        annotate(utterances=tally.utterances, semantic_tokens=tally.semantic_tokens, switches=self._stage.switches)
        return done

    # --- in ------------------------------------------------------------------------------------------------------

    async def _read(self, messages: AsyncIterator[LiveMessage]) -> None:
        async for message in messages:
            for part in parts(message):
                self._stage.take_in(part, self._on.clock())
                self._changed.set()
                while self._stage.waiting_chars > self._limits.max_waiting_characters:
                    self._stage.deaf = True
                    await self._moved.wait()
                self._stage.deaf = False
        self._stage.end()
        self._changed.set()

    async def _guarded(self, work: Callable[[], Awaitable[None]]) -> None:
        """Whatever fails in it ends the stream. It begins here, so a task that is cancelled at once leaves nothing."""
        try:
            await work()
        except Exception as error:
            self._fail(error)
        finally:
            self._changed.set()

    def _fail(self, error: BaseException) -> None:
        if not isinstance(error, VoxswapError):
            log.error("live stream failed", request_id=self._request.request_id, exc_info=error)
            error = EngineError(f"the engine failed on this request; quote request id {self._request.request_id}")
        self._failure = error

    # --- backstage -----------------------------------------------------------------------------------------------

    def lease(self, cast: Cast) -> None:
        """As `Backstage.lease`."""
        self._hold(cast, first=False).ready.add_done_callback(partial(self._leased, cast))

    def release(self, cast: Cast) -> None:
        """As `Backstage.release`."""
        cast.handle.let_go()

    def start(self, take: Take) -> None:
        """As `Backstage.start`."""
        if self._tally.asked_s is None:
            self._tally.asked_s = self._on.clock()
        hold: Hold = take.cast.handle
        take.handle = hold.begin(self._guarded(partial(self._speak, take, hold.performer)))

    def stop(self, take: Take) -> None:
        """As `Backstage.stop`."""
        take.handle.cancel()

    def _hold(self, cast: Cast, *, first: bool) -> Hold:
        hold = cast.handle = Hold(performing(self._on, self._request, cast, self._seed, first=first))
        self._holds = [*(one for one in self._holds if not one.ended), hold]
        return hold

    def _leased(self, cast: Cast, ready: "asyncio.Future[None]") -> None:
        if ready.cancelled():
            return
        error = ready.exception()
        if error is None:
            self._stage.cast_ready(cast)
        elif isinstance(error, VoxswapError):
            self._metrics.voice_switched("failed")
            self._stage.cast_failed(cast, error)
        else:
            self._fail(error)
        self._changed.set()

    async def _first(self, cast: Cast) -> int:
        """Waits for the voice that the stream begins with; returns its rate.

        Raises:
            VoxswapError: there is no stream without it.
        """
        hold, deadline_s = self._hold(cast, first=True), self._request.deadline_s
        cast.ready = True
        try:
            async with asyncio.timeout(None if deadline_s is None else deadline_s - self._on.clock()):
                await hold.ready
        except TimeoutError:
            raise DeadlineExceeded(
                f"the deadline of the stream passed while voice {cast.voice_id!r} was being loaded"
            ) from None
        return hold.performer.rate_hz

    async def _speak(self, take: Take, performer: Performer) -> None:
        """Makes a take."""
        try:
            script = await performer.script(take)
            for notice in script.notices:
                self._stage.notice(notice)
            now_s = self._on.clock()
            wanted_s = now_s + max(0.0, self._stage.listener.playback.lead_s(now_s))
            async with performer.speaking(take, script, wanted_s) as items:
                await self._made(take, performer, items)
        except VoxswapError as error:
            self._stage.take_failed(take, error)

    async def _made(self, take: Take, performer: Performer, items: AsyncIterator[Item]) -> None:
        began_s, resampler = self._on.clock(), performer.resampler(self._rate_hz)
        samples, told, limit = 0, 0, int(self._limits.max_made_s * self._rate_hz)
        lead_in = LeadIn(performer.rate_hz)
        if not take.cued:
            lead_in.flush()
        async for item in items:
            match item:
                case np.ndarray():
                    heard = lead_in.push(item)
                    samples += heard.size
                    self._stage.audio(take, resampler.push(heard))
                case Notice():
                    self._stage.notice(item)
                case UtteranceAligned():
                    silent = lead_in.flush()  # no sound in all of it
                    samples += silent.size
                    self._stage.audio(take, resampler.push(silent))
                    scale = Scale(samples - item.samples, performer.rate_hz, self._rate_hz)
                    words = located(take, item.words, scale)
                    self._stage.aligned(take, words, timestamps(item, self._request.timestamps, scale))
                case UtteranceSpoken():
                    self._tally.utterances += 1
                    self._tally.semantic_tokens += item.semantic_tokens
                    end = samples * self._rate_hz // performer.rate_hz
                    self._stage.utterance_spoken(take, end - told)
                    told = end
                case UtteranceRetried():
                    self._on.metrics.degenerate(item.fault, retried=True)
            self._changed.set()
            while take.reel.size > limit:
                await self._moved.wait()
        self._stage.audio(take, resampler.push(lead_in.flush()))
        self._stage.audio(take, resampler.finish())
        self._stage.take_ended(take)
        self._tally.made_s += samples / performer.rate_hz
        self._tally.took_s += self._on.clock() - began_s

    # --- the end ---------------------------------------------------------------------------------------------------

    async def _close(self, reader: "asyncio.Task[None] | None") -> None:
        """Ends everything that is under way."""
        if reader is not None:
            self._metrics.underruns(self._stage.listener.playback.underruns)
            reader.cancel()
            await asyncio.wait([reader])
        await asyncio.gather(*(hold.close() for hold in self._holds))
