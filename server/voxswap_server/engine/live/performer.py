"""One voice of a live stream, from its lease to its return, and the takes that it speaks.

Knows nothing of the other voices of the stream, nor of when its takes are heard.
"""

import asyncio
from collections import deque
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace

from voxswap_server.audio.resample import StreamResampler
from voxswap_server.domain import SynthesisRequest
from voxswap_server.engine.job import Item, Outbox
from voxswap_server.engine.live.take import Cast, Take
from voxswap_server.engine.parameters import Parameters, resolve
from voxswap_server.engine.residency.contract import Lease
from voxswap_server.engine.speaking import LookAhead, SpeechLine, speak
from voxswap_server.engine.super_sampling import super_sampled
from voxswap_server.engine.synthesizer import Services
from voxswap_server.engine.uninterrupted import uninterrupted
from voxswap_server.engine.voice import Voice
from voxswap_server.logs import current_trace_id
from voxswap_server.text.languages import upstream_code
from voxswap_server.text.utterances import Manner, Script

_SEEDS = 2**64
_AHEAD = LookAhead()


@dataclass(frozen=True, slots=True)
class Performer:
    """A leased voice, ready to speak. Never keep it longer than the lease."""

    services: Services
    request: SynthesisRequest
    """The stream's, with this voice."""
    lease: Lease[Voice]
    parameters: Parameters
    code: str
    manner: Manner

    @property
    def rate_hz(self) -> int:
        """Of what it makes."""
        return self.parameters.rate_hz

    def resampler(self, rate_hz: int) -> StreamResampler:
        """From that rate to the stream's; a take is resampled as one signal."""
        return StreamResampler(self.rate_hz, rate_hz)

    async def script(self, take: Take) -> Script:
        """The lines of a take.

        Raises:
            RequestError: it holds nothing to speak.
        """
        return await self.services.text.script(take.text, self.code, self.parameters.cut)

    @asynccontextmanager
    async def speaking(self, take: Take, script: Script, wanted_s: float) -> AsyncIterator[AsyncIterator[Item]]:
        """A take on the device thread. When the block ends, however it ends, the thread has let go of it.

        A sentence sounds as a request for it with the seed of the stream plus the number of the sentence does.

        Args:
            take: of this voice.
            script: its lines.
            wanted_s: reading of the clock at which the listener wants to hear it.
        """
        on, voice = self.services, self.lease.bundle
        speech = self.parameters.speech
        params = replace(
            speech, seed=(speech.seed + take.sentence.number) % _SEEDS, speed=take.speaking_rate, align=True
        )
        routine = speak(voice, params, on.prompts.encode(voice, self.request.prompt), self._lines(script), _AHEAD)
        if self.parameters.super_sampled:
            routine = super_sampled(routine, on.networks, whole=params.exact)
        outbox = Outbox(self.rate_hz, asyncio.get_running_loop(), on.worker.wake)
        job = on.worker.submit(
            self.request.request_id,
            routine,
            outbox,
            rate_hz=self.rate_hz,
            accepted_s=wanted_s,
            deadline_s=self.request.deadline_s,
        )
        try:
            yield outbox.items()
        finally:
            if not job.ended.done():
                cancelled_s = on.clock()
                on.worker.cancel(job)
                # The weights stay leased until the device thread does not touch them any more.
                await uninterrupted(asyncio.wrap_future(job.ended))
                on.metrics.released(on.clock() - cancelled_s, current_trace_id())
            job.timeline.trace(on.tracing)

    def _lines(self, script: Script) -> Iterator[SpeechLine]:
        """Routines that encode the utterances; the front-end runs one ahead."""
        symbols = self.lease.bundle.spec.symbols
        ahead: deque[SpeechLine] = deque()
        for line in script.lines:
            text = self.services.text.utterance(line.text, self.code, symbols, self.manner) if line.text else None
            ahead.append(SpeechLine(text, line.pause_ms))
            if len(ahead) > 1:
                yield ahead.popleft()
        yield from ahead


@asynccontextmanager
async def performing(
    services: Services, stream: SynthesisRequest, cast: Cast, seed: int, *, first: bool
) -> AsyncIterator[Performer]:
    """Leases a voice and fills in what the stream asks of it.

    Args:
        services: of the engine.
        stream: how the stream is to be spoken.
        cast: the voice; told of its lease.
        seed: of the stream.
        first: it is the stream's first voice; the prompt of the config is meant for it alone.

    Raises:
        VoxswapError: it cannot be loaded, or cannot speak what the stream asks for.
    """
    request = replace(stream, voice_id=cast.voice_id, prompt=stream.prompt if first else None)
    asked_s = services.clock()
    foreseen = replace(request, text="?")  # whatever will be said, it is in the language of the stream
    async with services.foresight.networks(foreseen), services.residency.lease(cast.voice_id) as lease:
        services.tracing.past("load", asked_s, services.clock(), voice=cast.voice_id)
        voice = lease.bundle
        if not first and voice.spec.super_sampled_hz is None:
            request = replace(request, super_sampling=False)  # it is resampled to the rate of the stream
        cast.generation, cast.cache_state, cast.load_ms = lease.generation, lease.cache_state, lease.load_ms
        yield Performer(
            services,
            request,
            lease,
            resolve(request, voice, seed=seed),
            upstream_code(request.language, voice.spec.symbols),
            await services.text.manner(request, voice),
        )
