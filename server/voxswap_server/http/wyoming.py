"""The Wyoming protocol, which Home Assistant speaks: events over plain TCP.

Knows nothing of how speech is made. The protocol has neither keys nor TLS, so it is off unless it is given a port, and
then listens where only this machine is, or where the operator says that it is safe.
"""

import asyncio
import logging
import time
from collections.abc import Callable
from contextlib import aclosing, suppress
from dataclasses import dataclass

from wyoming.audio import AudioChunk as WyomingChunk
from wyoming.audio import AudioStart, AudioStop
from wyoming.error import Error
from wyoming.event import Event
from wyoming.info import Attribution, Describe, Info, TtsProgram, TtsVoice
from wyoming.server import AsyncEventHandler
from wyoming.tts import Synthesize, SynthesizeChunk, SynthesizeStart, SynthesizeStop, SynthesizeStopped, SynthesizeVoice

import voxswap_server
from voxswap_server import logs
from voxswap_server.canonical import SpeechOnRecord
from voxswap_server.domain import AudioChunk, Language, LanguageMode, StreamStarted, SynthesisRequest
from voxswap_server.door import Door
from voxswap_server.errors import Overloaded, RequestError, VoxswapError
from voxswap_server.http.bodies import require_id
from voxswap_server.http.gateway import Services
from voxswap_server.http.operations import OUR_BUGS, HttpMetrics
from voxswap_server.http.problems import problem_of, row_of
from voxswap_server.http.wyoming_events import keep_asking, read_event
from voxswap_server.ids import new_id
from voxswap_server.text.sentences import SentenceCutter

US = Attribution("voxswap", "")
OPERATION = "WYOMING synthesize"
CONNECT = "WYOMING connect"
"""Counted only where it is refused."""


@dataclass(frozen=True, slots=True)
class WyomingConfig:
    port: int | None = None
    """None: off; 0 picks a free one. Home Assistant expects 10200."""
    host: str = "127.0.0.1"
    default_voice: str = ""
    """Who speaks where no voice is named; "" refuses it."""
    max_connections: int = 64
    """One more is told so, and closed."""
    max_event_bytes: int = 1024 * 1024
    """Of the data of an event, and of its payload."""


class WyomingServer:
    """Build, start, drain: once each."""

    def __init__(
        self,
        services: Services,
        config: WyomingConfig,
        metrics: HttpMetrics,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.port = 0
        """Bound port, once started."""
        self.services, self.config, self.metrics, self.clock = services, config, metrics, clock
        self.door = Door()
        self._talks: set[asyncio.Task[None]] = set()
        self._server: asyncio.Server | None = None

    async def start(self) -> None:
        """Binds and listens.

        Raises:
            OSError: the address cannot be bound.
        """
        self._server = await asyncio.start_server(self._talk, self.config.host, self.config.port)
        self.port = self._server.sockets[0].getsockname()[1]

    async def drain(self, grace_s: float) -> bool:
        """No new work, then the end of running work, then stop. False if some work was cut off."""
        finished = await self.door.close(grace_s)
        for talk in self._talks:
            talk.cancel()
        await asyncio.gather(*self._talks, return_exceptions=True)
        if self._server is not None:
            self._server.close()
            await self._server.wait_closed()
        return finished

    async def _talk(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task, open_now = asyncio.current_task(), len(self._talks)
        if task is None:
            raise RuntimeError("asyncio serves a connection in a task")
        self._talks.add(task)
        talk = _Talk(reader, writer, self)
        try:
            if open_now >= self.config.max_connections:
                raise Overloaded(f"{open_now} connections are open, which is the limit")
            keep_asking(writer)
            await talk.run()
        except VoxswapError as refused:
            self.metrics.request(CONNECT, row_of(refused).code)
            with suppress(OSError):  # it need not wait for the answer
                await talk.tell(refused, new_id())
        except (OSError, ValueError, KeyError, EOFError) as gone:
            # The caller went away, or what it sends is not the protocol: there is nobody to tell.
            logs.canonical("wyoming", level=logging.DEBUG, problem=type(gone).__name__)
        finally:
            writer.close()
            self._talks.discard(task)


class _Talk(AsyncEventHandler):
    """One connection."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, server: WyomingServer) -> None:
        super().__init__(reader, writer)
        self._on = server
        self._cutter: SentenceCutter | None = None
        """While text comes in pieces."""
        self._voice: SynthesizeVoice | None = None

    async def run(self) -> None:
        """Until the caller goes away.

        Raises:
            BodyTooLarge: what it announces is not read.
        """
        while (event := await read_event(self.reader, self._on.config.max_event_bytes)) is not None:
            await self.handle_event(event)

    async def tell(self, error: BaseException, request_id: str) -> None:
        """What a caller of any transport is told of an error."""
        problem = problem_of(error, request_id).document
        await self.write_event(Error(problem["detail"], problem["reason"]).event())

    async def handle_event(self, event: Event) -> bool:
        if Describe.is_type(event.type):
            await self.write_event((await self._info()).event())
        elif SynthesizeStart.is_type(event.type):
            self._cutter, self._voice = SentenceCutter(), SynthesizeStart.from_event(event).voice
        elif SynthesizeChunk.is_type(event.type) and self._cutter is not None:
            await self._say_all(self._cutter.push(SynthesizeChunk.from_event(event).text), self._voice)
        elif SynthesizeStop.is_type(event.type) and self._cutter is not None:
            rest, self._cutter = self._cutter.flush(), None
            await self._say_all(rest, self._voice)
            await self.write_event(SynthesizeStopped().event())
        elif Synthesize.is_type(event.type) and self._cutter is None:
            # Amid pieces, the whole text follows for servers that do not know of pieces.
            asked = Synthesize.from_event(event)
            await self._say_all([asked.text], asked.voice)
        return True

    async def _say_all(self, texts: list[str], voice: SynthesizeVoice | None) -> None:
        for text in texts:
            await self._say(text, voice)

    async def _say(self, text: str, voice: SynthesizeVoice | None) -> None:
        """Speaks a text; what goes wrong is told, and the connection goes on."""
        request_id, started_s, code = new_id(), self._on.clock(), "OK"
        bug: BaseException | None = None
        with logs.request_context(request_id, request_id):
            try:
                with self._on.door.working():
                    await self._speak(self._asked(text, voice, request_id))
            except OSError:
                code = "CANCELLED"
                raise
            except Exception as error:
                code = row_of(error).code
                bug = error if code in OUR_BUGS else None
                await self.tell(error, request_id)
            finally:
                self._on.metrics.request(OPERATION, code)
                level = logging.ERROR if bug else logging.INFO
                took_s = self._on.clock() - started_s
                logs.canonical("wyoming", error=bug, level=level, method=OPERATION, code=code, duration_s=took_s)

    async def _speak(self, asked: SynthesisRequest) -> None:
        rate_hz, record = 0, SpeechOnRecord()
        logs.annotate(voice=asked.voice_id, text_chars=len(asked.text))
        async with aclosing(self._on.services.synthesizer.synthesize(asked)) as events:
            async for event in events:
                record.show(event)  # the protocol has no event for what is merely worth knowing: the log has it
                if isinstance(event, StreamStarted):
                    rate_hz = event.sample_rate_hz
                    await self.write_event(AudioStart(rate_hz, 2, 1).event())
                elif isinstance(event, AudioChunk):
                    at_ms = event.start_sample * 1000 // rate_hz
                    await self.write_event(WyomingChunk(rate_hz, 2, 1, event.data, at_ms).event())
        await self.write_event(AudioStop().event())

    def _asked(self, text: str, voice: SynthesizeVoice | None, request_id: str) -> SynthesisRequest:
        name = (voice.name if voice else None) or self._on.config.default_voice
        language = (voice.language if voice else None) or ""
        if not name:
            raise RequestError("no voice is named, and http.wyoming.default_voice is not set", field="voice")
        mode = LanguageMode.MIXED if language else LanguageMode.AUTO
        return SynthesisRequest(request_id, require_id(name, "voice"), text, Language(language, mode))

    async def _info(self) -> Info:
        voices = [
            TtsVoice(
                name=one.voice_id,
                attribution=US,
                installed=True,
                description=one.display_name or one.voice_id,
                version=one.version,
                languages=list(one.languages),
            )
            for one in await self._on.services.library.list_voices()
        ]
        program = TtsProgram("voxswap", US, True, "GPT-SoVITS voices", voxswap_server.__version__, voices, True)
        return Info(tts=[program])
