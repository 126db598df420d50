"""From a request of the domain to an answer over HTTP: streamed, whole, or as server-sent events.

Knows nothing of how speech is made, nor of what the caller's dialect calls things. An answer begins with the first
audio, so whatever fails before that has its own status.
"""

import base64
import json
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Mapping
from contextlib import aclosing
from dataclasses import dataclass
from typing import Any

from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from voxswap_server.canonical import SpeechOnRecord
from voxswap_server.domain import (
    AudioChunk,
    Notice,
    StreamStarted,
    SynthesisDone,
    SynthesisEvent,
    SynthesisRequest,
    Synthesizer,
)
from voxswap_server.errors import EngineError, RequestError
from voxswap_server.http.calls import Call
from voxswap_server.http.problems import Dialect, problem_of
from voxswap_server.ids import CACHE_STATE_KEY
from voxswap_server.logs import annotate

VOICE_KEY = "x-voice-id"
RATE_KEY = "x-sample-rate-hertz"
SEED_KEY = "x-seed"


class Speaking:
    """Speaks for one surface.

    Args:
        synthesizer: the engine, or a fake of it.
        max_whole_bytes: of an answer that is not streamed.
    """

    def __init__(self, synthesizer: Synthesizer, max_whole_bytes: int) -> None:
        self._synthesizer = synthesizer
        self._max_whole_bytes = max_whole_bytes

    def streamed(self, call: Call, asked: SynthesisRequest, media_type: str) -> "StreamedAnswer":
        """Audio as it is made."""
        return StreamedAnswer(lambda: self._events(asked), _Audio(call, media_type))

    def sse(self, call: Call, asked: SynthesisRequest, dialect: Dialect) -> "StreamedAnswer":
        """Audio as OpenAI's server-sent events."""
        return StreamedAnswer(lambda: self._events(asked), _ServerSent(call, dialect, len(asked.text)))

    async def whole(self, call: Call, asked: SynthesisRequest, media_type: str) -> Response:
        """A file, with its length.

        Raises:
            RequestError: the audio is longer than one answer may be; raised as soon as that is known.
        """
        audio = bytearray()
        async with aclosing(self._events(asked)) as events:
            async for event in events:
                note(call, event)
                if isinstance(event, AudioChunk):
                    audio += event.data
                if len(audio) > self._max_whole_bytes:
                    raise RequestError(
                        f"the audio is longer than the {self._max_whole_bytes} bytes of a whole answer; stream it, or "
                        "choose a smaller format",
                        field="text",
                    )
        if not audio:
            raise _no_audio()
        return Response(bytes(audio), media_type=media_type)

    async def _events(self, asked: SynthesisRequest) -> AsyncGenerator[SynthesisEvent, None]:
        """What the engine says, told to the log on its way."""
        annotate(voice=asked.voice_id, text_chars=len(asked.text))
        record = SpeechOnRecord()
        async with aclosing(self._synthesizer.synthesize(asked)) as events:
            async for event in events:
                record.show(event)
                yield event


class StreamedAnswer:
    """An ASGI response that writes what it is given, no faster than the caller reads."""

    def __init__(
        self, events: Callable[[], AsyncGenerator[SynthesisEvent, None]], form: "_Audio | _ServerSent"
    ) -> None:
        self._events = events
        self._form = form

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        del scope, receive
        begun = False
        async with aclosing(self._events()) as events, aclosing(self._form.bytes_of(events)) as pieces:
            async for piece in pieces:
                if not begun:
                    begun = True
                    headers = [(b"content-type", self._form.media_type.encode()), (b"cache-control", b"no-store")]
                    await send({"type": "http.response.start", "status": 200, "headers": headers})
                await send({"type": "http.response.body", "body": piece, "more_body": True})
        if not begun:
            raise _no_audio()
        await send({"type": "http.response.body", "body": b"", "more_body": False})


@dataclass(slots=True)
class _Audio:
    """Nothing but audio; what else there is to say stands in the header."""

    call: Call
    media_type: str

    async def bytes_of(self, events: AsyncIterator[SynthesisEvent]) -> AsyncGenerator[bytes, None]:
        async for event in events:
            note(self.call, event)
            if isinstance(event, AudioChunk) and event.data:
                yield event.data


@dataclass(slots=True)
class _ServerSent:
    """OpenAI's events; a notice and an error are events too."""

    call: Call
    dialect: Dialect
    text_chars: int
    media_type: str = "text/event-stream"

    async def bytes_of(self, events: AsyncIterator[SynthesisEvent]) -> AsyncGenerator[bytes, None]:
        begun, notices = False, list[Notice]()
        try:
            async for event in events:
                note(self.call, event)
                if isinstance(event, AudioChunk) and event.data:
                    begun = True
                    delta = {"type": "speech.audio.delta", "audio": base64.b64encode(event.data).decode()}
                    yield _warnings(notices) + sse(delta)
                elif isinstance(event, Notice):
                    notices.append(event)  # the answer must not begin with it: the request may still be refused
                elif isinstance(event, SynthesisDone) and begun:
                    yield _warnings(notices) + sse({"type": "speech.audio.done", "usage": self._usage(event)})
        except Exception as error:
            # Told in the stream, then raised: the connection ends before the answer does, and the log has it.
            if begun:
                yield sse(problem_of(error, self.call.request_id, self.dialect).document)
            raise

    def _usage(self, done: SynthesisDone) -> Mapping[str, int]:
        """Characters in, semantic tokens out."""
        return {
            "input_tokens": self.text_chars,
            "output_tokens": done.semantic_tokens,
            "total_tokens": self.text_chars + done.semantic_tokens,
        }


def _warnings(notices: list[Notice]) -> bytes:
    """The events of notices that were not told yet, and now are."""
    told = b"".join(sse({"type": "speech.audio.warning", "code": one.code, "message": one.message}) for one in notices)
    notices.clear()
    return told


def sse(data: Mapping[str, Any]) -> bytes:
    return f"data: {json.dumps(data, ensure_ascii=False)}\n\n".encode()


def note(call: Call, event: SynthesisEvent) -> None:
    """Into the header of the answer. What comes after the first byte of audio is in the log line alone: trailers could
    carry it, but the server below us sends none, and few clients read them.
    """
    if isinstance(event, StreamStarted):
        call.headers |= {
            CACHE_STATE_KEY: event.cache_state.value,
            VOICE_KEY: event.voice_id,
            RATE_KEY: str(event.sample_rate_hz),
            SEED_KEY: str(event.seed),
        }
    elif isinstance(event, Notice):
        call.notices.append(event.code)


def _no_audio() -> EngineError:
    return EngineError("the synthesizer ended without any audio")
