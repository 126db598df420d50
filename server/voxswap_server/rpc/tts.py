"""SpeechService. Knows nothing of how speech is made, nor of how errors travel."""

from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import aclosing
from dataclasses import dataclass, field, replace
from typing import TypeVar

from voxswap.v1 import speech_service_pb2, speech_service_pb2_grpc, synthesis_pb2
from voxswap_server.canonical import SpeechOnRecord
from voxswap_server.domain import (
    AudioChunk,
    AudioEncoding,
    Notice,
    StreamStarted,
    SynthesisDone,
    SynthesisEvent,
    SynthesisRequest,
    Synthesizer,
    Timestamp,
    Timestamps,
)
from voxswap_server.domain_live import LiveEvent, LiveSynthesizer
from voxswap_server.errors import EngineError, RequestError
from voxswap_server.ids import CACHE_STATE_KEY
from voxswap_server.logs import annotate
from voxswap_server.rpc.calls import Context, current_call
from voxswap_server.rpc.convert import events as messages
from voxswap_server.rpc.convert import live, speech

Event = TypeVar("Event", SynthesisEvent, LiveEvent)

MESSAGE_RESERVE_BYTES = 64 * 1024
"""Room in a message for everything beside the audio."""


class SpeechServicer(speech_service_pb2_grpc.SpeechServiceServicer):
    """Speaks.

    Args:
        synthesizer: the engine, or a fake of it.
        live_synthesizer: likewise, for live streams.
        max_message_bytes: what a client takes by default. A longer unary answer is refused, a longer chunk is cut.
    """

    def __init__(self, synthesizer: Synthesizer, live_synthesizer: LiveSynthesizer, max_message_bytes: int) -> None:
        self._synthesizer = synthesizer
        self._live = live_synthesizer
        self._max_audio_bytes = max_message_bytes - MESSAGE_RESERVE_BYTES

    async def Synthesize(
        self, request: speech_service_pb2.SynthesizeRequest, context: Context
    ) -> speech_service_pb2.SynthesizeResponse:
        asked = _to_synthesis(request.text, request.config, unary=True)
        async with aclosing(self._events(asked)) as events:
            return await joined(events, self._max_audio_bytes)

    async def SynthesizeStream(
        self, request: speech_service_pb2.SynthesizeStreamRequest, context: Context
    ) -> AsyncIterator[speech_service_pb2.SynthesizeStreamResponse]:
        asked = _to_synthesis(request.text, request.config, unary=False)
        async with aclosing(self._events(asked)) as events:
            async for response in responses(events, self._max_audio_bytes):
                yield response

    async def StreamingSynthesize(
        self, request_iterator: AsyncIterator[speech_service_pb2.StreamingSynthesizeRequest], context: Context
    ) -> AsyncIterator[speech_service_pb2.StreamingSynthesizeResponse]:
        call = current_call()
        first = await anext(aiter(request_iterator), None)
        config = live.to_config(first, request_id=call.request_id, deadline_s=call.deadline_s)
        annotate(voice=config.speech.voice_id)
        answers = live.Responses(self._max_audio_bytes)
        async with aclosing(self._told(self._live.live(config, live.to_messages(request_iterator)))) as events:
            async for event in events:
                for response in answers.of(event):
                    yield response

    def _events(self, asked: SynthesisRequest) -> AsyncGenerator[SynthesisEvent, None]:
        annotate(voice=asked.voice_id, text_chars=len(asked.text))
        return self._told(self._synthesizer.synthesize(asked))

    async def _told(self, events: AsyncGenerator[Event, None]) -> AsyncGenerator[Event, None]:
        """What the engine says, told to the log and the metadata on its way."""
        record = SpeechOnRecord()
        try:
            async with aclosing(events):
                async for event in events:
                    record.show(event)
                    if isinstance(event, StreamStarted):
                        current_call().headers[CACHE_STATE_KEY] = event.cache_state
                    yield event
        except RequestError as error:
            error.field = speech.field_path(error)
            raise


def _to_synthesis(text: str, config: synthesis_pb2.SpeechConfig, *, unary: bool) -> SynthesisRequest:
    call = current_call()
    return speech.to_synthesis(text, config, request_id=call.request_id, deadline_s=call.deadline_s, unary=unary)


async def responses(
    events: AsyncIterator[SynthesisEvent], max_audio_bytes: int
) -> AsyncIterator[speech_service_pb2.SynthesizeStreamResponse]:
    """The messages of a stream; chunks are cut where a message would be too long, and numbered anew."""
    encoding, sequence = AudioEncoding.PCM_S16, 0
    async for event in events:
        match event:
            case AudioChunk():
                for piece in messages.pieces(event, encoding, max_audio_bytes):
                    chunk = messages.from_chunk(replace(piece, sequence=sequence))
                    yield speech_service_pb2.SynthesizeStreamResponse(audio_chunk=chunk)
                    sequence += 1
            case StreamStarted():
                encoding = event.encoding
                yield speech_service_pb2.SynthesizeStreamResponse(started=messages.from_started(event))
            case Timestamps():
                yield speech_service_pb2.SynthesizeStreamResponse(timestamps=messages.from_timestamps(event))
            case Notice():
                yield speech_service_pb2.SynthesizeStreamResponse(warning=messages.from_notice(event))
            case SynthesisDone():
                yield speech_service_pb2.SynthesizeStreamResponse(done=messages.from_done(event))


@dataclass(slots=True)
class _Whole:
    """A unary answer as it grows."""

    audio: bytearray = field(default_factory=bytearray)
    started: StreamStarted | None = None
    done: SynthesisDone | None = None
    notices: list[Notice] = field(default_factory=list)
    timestamps: list[Timestamp] = field(default_factory=list)

    def add(self, event: SynthesisEvent) -> None:
        match event:
            case AudioChunk():
                self.audio += event.data
            case StreamStarted():
                self.started = event
            case Timestamps():
                self.timestamps += event.timestamps
            case Notice():
                self.notices.append(event)
            case SynthesisDone():
                self.done = event


async def joined(events: AsyncIterator[SynthesisEvent], max_audio_bytes: int) -> speech_service_pb2.SynthesizeResponse:
    """The one message of a unary answer.

    Raises:
        RequestError: the audio does not fit; raised as soon as that is known.
        EngineError: the engine ended without a word.
    """
    whole = _Whole()
    async for event in events:
        whole.add(event)
        if len(whole.audio) > max_audio_bytes:
            raise RequestError(
                f"the audio is longer than the {max_audio_bytes} bytes that fit one answer; use SynthesizeStream, "
                "or a smaller encoding",
                field="text",
            )
    if whole.started is None or whole.done is None:
        raise EngineError("the synthesizer ended without telling how it went")
    response = speech_service_pb2.SynthesizeResponse(
        audio_content=bytes(whole.audio),
        started=messages.from_started(whole.started),
        done=messages.from_done(whole.done),
        warnings=[messages.from_notice(notice) for notice in whole.notices],
        timestamps=messages.from_timestamps(Timestamps(tuple(whole.timestamps))).timestamps,
    )
    if response.ByteSize() > max_audio_bytes + MESSAGE_RESERVE_BYTES:
        raise RequestError(
            f"the audio with its timestamps is longer than the {max_audio_bytes + MESSAGE_RESERVE_BYTES} bytes that "
            "fit one answer; use SynthesizeStream, or ask for fewer types of timestamps",
            field="text",
        )
    return response
