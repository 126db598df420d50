"""Live streams: JSON messages to those of `domain_live`, and its events to JSON.

Knows nothing of sockets. Names are those of the gRPC messages.
"""

import struct
from collections.abc import Callable, Mapping
from typing import Annotated, Any, Literal

from pydantic import Field, TypeAdapter, ValidationError

from voxswap_server import limits
from voxswap_server.domain import (
    AudioChunk,
    AudioEncoding,
    AudioFormat,
    Language,
    LanguageMode,
    Notice,
    SamplingParams,
    StreamStarted,
    SynthesisDone,
    SynthesisRequest,
    TimestampKind,
    Timestamps,
)
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
from voxswap_server.http.bodies import Asked, json_object, refused_by, require_id

AHEAD_MS = (100, 60_000)
FRAME_HEADER = struct.Struct("<Q")
"""Of a binary frame: the sample at which its audio starts; the audio follows."""

Rate = Annotated[float, Field(ge=limits.SPEAKING_RATE[0], le=limits.SPEAKING_RATE[1])]


class ConfigAsked(Asked):
    type: Literal["config"]
    voice_id: str
    language_code: str = ""
    language_mode: LanguageMode | None = None
    audio_encoding: AudioEncoding = AudioEncoding.PCM_S16
    sample_rate_hertz: Annotated[int | None, Field(ge=limits.SAMPLE_RATE_HZ[0], le=limits.SAMPLE_RATE_HZ[1])] = None
    speaking_rate: Rate = 1.0
    volume_gain_db: Annotated[float, Field(ge=limits.VOLUME_GAIN_DB[0], le=limits.VOLUME_GAIN_DB[1])] = 0.0
    pause_ms: Annotated[int | None, Field(ge=limits.PAUSE_MS[0], le=limits.PAUSE_MS[1])] = None
    seed: Annotated[int | None, Field(ge=0, lt=2**63)] = None
    top_k: Annotated[int | None, Field(ge=limits.TOP_K[0], le=limits.TOP_K[1])] = None
    top_p: Annotated[float | None, Field(gt=0, le=limits.MOST_TOP_P)] = None
    temperature: Annotated[float | None, Field(gt=0, le=limits.MOST_TEMPERATURE)] = None
    repetition_penalty: Annotated[float | None, Field(gt=0, le=limits.MOST_REPETITION_PENALTY)] = None
    timestamp_types: tuple[TimestampKind, ...] = ()
    max_ahead_ms: Annotated[int | None, Field(ge=AHEAD_MS[0], le=AHEAD_MS[1])] = None


class TextAsked(Asked):
    type: Literal["text"]
    text: str


class FlushAsked(Asked):
    type: Literal["flush"]


class SwitchAsked(Asked):
    type: Literal["switch_voice"]
    voice_id: str
    at: SwitchPoint = SwitchPoint.NEXT_SENTENCE
    crossfade_ms: Annotated[int, Field(ge=0, le=LONGEST_CROSSFADE_MS)] = 0


class RateAsked(Asked):
    type: Literal["set_speaking_rate"]
    speaking_rate: Rate


class CancelAsked(Asked):
    type: Literal["cancel_utterance"]


class PlayheadAsked(Asked):
    type: Literal["playhead"]
    sample: Annotated[int, Field(ge=0, lt=2**63)]


class EndAsked(Asked):
    type: Literal["end"]


Message = Annotated[
    ConfigAsked | TextAsked | FlushAsked | SwitchAsked | RateAsked | CancelAsked | PlayheadAsked | EndAsked,
    Field(discriminator="type"),
]
_READER: TypeAdapter[Message] = TypeAdapter(Message)


def read(frame: str | bytes) -> Message:
    """
    Raises:
        RequestError: it is no JSON object.
        InvalidFields: lists everything that is wrong with it.
    """
    if isinstance(frame, bytes):
        raise RequestError("messages of a live stream are text frames with a JSON object")
    content = json_object(frame.encode("utf-8", "surrogatepass"))
    try:
        return _READER.validate_python(content)
    except ValidationError as error:
        raise refused_by(error) from None


def to_config(first: Message, *, request_id: str, deadline_s: float | None) -> LiveConfig:
    """
    Raises:
        RequestError: it is not `config`, or names no voice that could be.
    """
    if not isinstance(first, ConfigAsked):
        raise RequestError(f"the first message of a live stream is config, not {first.type}", field="type")
    mode = first.language_mode or (LanguageMode.MIXED if first.language_code else LanguageMode.AUTO)
    speech = SynthesisRequest(
        request_id=request_id,
        voice_id=require_id(first.voice_id, "voice_id"),
        text="",
        language=Language(first.language_code, mode),
        audio=AudioFormat(first.audio_encoding, first.sample_rate_hertz, first.volume_gain_db),
        sampling=SamplingParams(first.top_k, first.top_p, first.temperature, first.repetition_penalty, first.seed),
        speaking_rate=first.speaking_rate,
        pause_s=None if first.pause_ms is None else first.pause_ms / 1000,
        deadline_s=deadline_s,
        timestamps=frozenset(first.timestamp_types),
    )
    return LiveConfig(speech, None if first.max_ahead_ms is None else first.max_ahead_ms / 1000)


def to_message(asked: Message) -> LiveMessage | None:
    """What a message after the first means; None is the end of the text.

    Raises:
        RequestError: a second config.
    """
    if isinstance(asked, ConfigAsked):
        raise RequestError("a live stream has one config", field="type")
    return None if isinstance(asked, EndAsked) else _MEANINGS[type(asked)](asked)


_MEANINGS: Mapping[type[Asked], Callable[[Any], LiveMessage]] = {
    TextAsked: lambda asked: LiveText(asked.text),
    FlushAsked: lambda _: Flush(),
    SwitchAsked: lambda asked: SwitchVoice(require_id(asked.voice_id, "voice_id"), asked.at, asked.crossfade_ms),
    RateAsked: lambda asked: SetSpeakingRate(asked.speaking_rate),
    CancelAsked: lambda _: CancelUtterance(),
    PlayheadAsked: lambda asked: Playhead(asked.sample),
}


def frame_of(chunk: AudioChunk) -> bytes:
    """The binary frame of a chunk."""
    return FRAME_HEADER.pack(chunk.start_sample) + chunk.data


def told(event: LiveEvent) -> Mapping[str, Any]:
    """The JSON of everything but audio."""
    match event:
        case StreamStarted():
            return started(event)
        case Timestamps():
            marks = [
                {"type": one.kind, "label": one.label, "start_sample": one.start_sample, "end_sample": one.end_sample}
                for one in event.timestamps
            ]
            return {"type": "timestamps", "timestamps": marks}
        case VoiceChanged():
            return {
                "type": "voice_changed",
                "voice_id": event.voice_id,
                "start_sample": event.start_sample,
                "model_generation": event.model_generation,
                "cache_state": event.cache_state,
                "load_ms": event.load_ms,
            }
        case UtteranceCancelled():
            return {
                "type": "utterance_cancelled",
                "heard_text": event.heard_text,
                "unheard_text": event.unheard_text,
                "heard_sample": event.heard_sample,
                "next_sample": event.next_sample,
            }
        case Notice():
            return {"type": "warning", "code": event.code, "message": event.message}
        case SynthesisDone():
            return done(event)
        case AudioChunk():
            raise TypeError("audio goes into a binary frame")


def started(event: StreamStarted) -> Mapping[str, Any]:
    return {
        "type": "started",
        "request_id": event.request_id,
        "voice_id": event.voice_id,
        "audio_encoding": event.encoding,
        "sample_rate_hertz": event.sample_rate_hz,
        "channels": event.channels,
        "model_generation": event.model_generation,
        "cache_state": event.cache_state,
        "load_ms": event.load_ms,
        "seed": event.seed,
    }


def done(event: SynthesisDone) -> Mapping[str, Any]:
    return {
        "type": "done",
        "samples": event.samples,
        "ttfa_ms": event.ttfa_ms,
        "rtf": event.rtf,
        "underrun_ms": event.underrun_ms,
        "queue_ms": event.queue_ms,
        "utterances": event.utterances,
    }
