"""SpeechService, live streams: requests to `domain_live` messages, events to responses."""

from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from dataclasses import replace
from typing import Any

from voxswap.v1 import speech_service_pb2, synthesis_pb2
from voxswap_server.domain import AudioChunk, AudioEncoding, Notice, StreamStarted, SynthesisDone, Timestamps
from voxswap_server.domain_live import (
    LONGEST_CROSSFADE_MS,
    CancelUtterance,
    Flush,
    LiveConfig,
    LiveEvent,
    LiveMessage,
    LiveText,
    Playhead,
    SetSpeakingRate,
    SwitchPoint,
    SwitchVoice,
    UtteranceCancelled,
    VoiceChanged,
)
from voxswap_server.errors import RequestError
from voxswap_server.limits import SPEAKING_RATE
from voxswap_server.rpc.convert import events
from voxswap_server.rpc.convert.fields import Fields, checked
from voxswap_server.rpc.convert.speech import to_speech

Request = speech_service_pb2.StreamingSynthesizeRequest
Response = speech_service_pb2.StreamingSynthesizeResponse

SWITCH_POINTS: Mapping[int, SwitchPoint] = {
    speech_service_pb2.SWITCH_POINT_UNSPECIFIED: SwitchPoint.NEXT_SENTENCE,
    speech_service_pb2.SWITCH_POINT_NOW: SwitchPoint.NOW,
    speech_service_pb2.SWITCH_POINT_NEXT_PHRASE: SwitchPoint.NEXT_PHRASE,
    speech_service_pb2.SWITCH_POINT_NEXT_SENTENCE: SwitchPoint.NEXT_SENTENCE,
}
AHEAD_MS = (100, 60_000)


def to_config(request: Request | None, *, request_id: str, deadline_s: float | None) -> LiveConfig:
    """What the first message of a stream says.

    Raises:
        RequestError: it is not `config`.
        InvalidFields: lists everything that is wrong with it.
    """
    kind = request.WhichOneof("message") if request is not None else None
    if request is None or kind != "config":
        raise RequestError(f"the first message of a live stream is config, not {kind or 'nothing'}", field="config")
    given = request.config
    with checked() as fields:
        speech = replace(to_speech(fields, given.speech_config), request_id=request_id, deadline_s=deadline_s)
        ahead_ms = None
        if given.HasField("max_ahead_ms"):
            ahead_ms = fields.between("config.max_ahead_ms", given.max_ahead_ms, *AHEAD_MS)
    return LiveConfig(speech, None if ahead_ms is None else ahead_ms / 1000)


async def to_messages(requests: AsyncIterator[Request]) -> AsyncIterator[LiveMessage]:
    """What follows the config.

    Raises:
        RequestError: a second config, or a message that says nothing.
        InvalidFields: lists everything that is wrong with a message.
    """
    async for request in requests:
        kind = request.WhichOneof("message")
        if kind is None or kind not in _MESSAGES:
            raise RequestError(
                f"a message of a live stream after its first is {kind or 'empty'}; choices: {', '.join(_MESSAGES)}",
                field=kind or "message",
            )
        with checked() as fields:
            message = _MESSAGES[kind](fields, getattr(request, kind))
        yield message


def _to_switch(fields: Fields, switch: speech_service_pb2.SwitchVoice) -> SwitchVoice:
    return SwitchVoice(
        voice_id=fields.voice_id("switch_voice.voice_id", switch.voice_id),
        at=fields.choice("switch_voice.at", switch.at, speech_service_pb2.SwitchPoint.DESCRIPTOR, SWITCH_POINTS),
        crossfade_ms=fields.between("switch_voice.crossfade_ms", switch.crossfade_ms, 0, LONGEST_CROSSFADE_MS),
    )


def _to_rate(fields: Fields, given: speech_service_pb2.SetSpeakingRate) -> SetSpeakingRate:
    return SetSpeakingRate(fields.between("set_speaking_rate.speaking_rate", given.speaking_rate, *SPEAKING_RATE))


_MESSAGES: Mapping[str, Callable[[Fields, Any], LiveMessage]] = {
    "text": lambda _, text: LiveText(text.text),
    "flush": lambda _, __: Flush(),
    "switch_voice": _to_switch,
    "cancel_utterance": lambda _, __: CancelUtterance(),
    "playhead": lambda _, playhead: Playhead(playhead.sample),
    "set_speaking_rate": _to_rate,
}


class Responses:
    """The messages of one stream; chunks are cut where a message would be too long, and numbered anew."""

    def __init__(self, max_audio_bytes: int) -> None:
        self._max_audio_bytes = max_audio_bytes
        self._encoding = AudioEncoding.PCM_S16
        self._sequence = 0

    def of(self, event: LiveEvent) -> Iterator[Response]:
        match event:
            case AudioChunk():
                for piece in events.pieces(event, self._encoding, self._max_audio_bytes):
                    yield Response(audio_chunk=events.from_chunk(replace(piece, sequence=self._sequence)))
                    self._sequence += 1
            case StreamStarted():
                self._encoding = event.encoding
                yield Response(started=events.from_started(event))
            case Timestamps():
                yield Response(timestamps=events.from_timestamps(event))
            case VoiceChanged():
                yield Response(voice_changed=from_changed(event))
            case UtteranceCancelled():
                yield Response(utterance_cancelled=from_cancelled(event))
            case Notice():
                yield Response(warning=events.from_notice(event))
            case SynthesisDone():
                yield Response(done=events.from_done(event))


def from_changed(changed: VoiceChanged) -> synthesis_pb2.VoiceChanged:
    return synthesis_pb2.VoiceChanged(
        voice_id=changed.voice_id,
        start_sample=changed.start_sample,
        model_generation=changed.model_generation,
        cache_state=events.CACHE_STATE_VALUES[changed.cache_state],
        load_ms=changed.load_ms,
    )


def from_cancelled(cancelled: UtteranceCancelled) -> speech_service_pb2.UtteranceCancelled:
    return speech_service_pb2.UtteranceCancelled(
        heard_text=cancelled.heard_text,
        unheard_text=cancelled.unheard_text,
        heard_sample=cancelled.heard_sample,
        next_sample=cancelled.next_sample,
    )
