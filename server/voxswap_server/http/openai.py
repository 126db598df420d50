"""OpenAI's speech API: its clients work by changing the base URL.

Knows nothing of how speech is made. `model` chooses nothing, for there is one engine; `voice` is the id of a voice.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field
from starlette.responses import JSONResponse
from starlette.types import ASGIApp

from voxswap_server import limits
from voxswap_server.domain import (
    AudioEncoding,
    AudioFormat,
    Language,
    LanguageMode,
    SamplingParams,
    SynthesisRequest,
    VoiceInfo,
    VoiceLibrary,
)
from voxswap_server.errors import RequestError
from voxswap_server.http.bodies import Asked, from_json, require_id
from voxswap_server.http.calls import Call
from voxswap_server.http.operations import Operation
from voxswap_server.http.problems import Dialect, Document, NoSuchPath
from voxswap_server.http.speaking import Speaking

MODELS = ("voxswap", "tts-1", "tts-1-hd", "gpt-4o-mini-tts")
"""Names that clients send; the last three are what many cannot be told to change."""
PCM_HZ = 24000
"""What OpenAI's clients take for granted of `pcm`, which has no header to say so."""


@dataclass(frozen=True, slots=True)
class Format:
    """What a `response_format` means here."""

    audio: AudioFormat
    media_type: str
    whole: bool = False
    """Sent when it is complete: players want the length in its header."""


FORMATS: Mapping[str, Format] = {
    "mp3": Format(AudioFormat(AudioEncoding.MP3), "audio/mpeg"),
    "opus": Format(AudioFormat(AudioEncoding.OGG_OPUS), "audio/ogg"),
    "aac": Format(AudioFormat(AudioEncoding.AAC), "audio/aac"),
    "flac": Format(AudioFormat(AudioEncoding.FLAC), "audio/flac", whole=True),
    "wav": Format(AudioFormat(AudioEncoding.WAV), "audio/wav"),
    "pcm": Format(AudioFormat(AudioEncoding.PCM_S16, PCM_HZ), "audio/pcm"),
}


class VoiceById(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)

    id: str


class SpeechAsked(Asked):
    """The body of `POST /v1/audio/speech`; what comes after `stream_format` is ours."""

    model: str
    input: str
    voice: str | VoiceById
    instructions: str = ""
    response_format: Literal["mp3", "opus", "aac", "flac", "wav", "pcm"] = "mp3"
    speed: Annotated[float, Field(ge=limits.SPEAKING_RATE[0], le=limits.SPEAKING_RATE[1])] = 1.0
    stream_format: Literal["audio", "sse"] = "audio"
    language: str = ""
    seed: int | None = Field(default=None, ge=0, lt=2**63)


def _error_member(document: Document) -> Document:
    """The `error` object that OpenAI's clients read."""
    fields = document.get("errors", [])
    kind = "invalid_request_error" if document["status"] < 500 else "server_error"
    error = {
        "message": document["detail"],
        "type": kind,
        "param": fields[0]["field"] if fields else None,
        "code": document["reason"].lower(),
    }
    return {"error": error}


DIALECT = Dialect(
    fields={"voice_id": "voice", "text": "input", "speaking_rate": "speed", "language_code": "language"},
    extend=_error_member,
)


class OpenAi:
    """The operations of this surface."""

    def __init__(self, speaking: Speaking, library: VoiceLibrary) -> None:
        self._speaking = speaking
        self._library = library

    def operations(self) -> tuple[Operation, ...]:
        return (
            Operation("/v1/audio/speech", {"POST": self.speech}, dialect=DIALECT),
            Operation("/v1/audio/voices", {"GET": self.voices}, dialect=DIALECT),
            Operation("/v1/models", {"GET": self.models}, dialect=DIALECT),
            Operation("/v1/models/{model}", {"GET": self.model}, dialect=DIALECT),
        )

    async def speech(self, call: Call) -> ASGIApp:
        body = from_json(SpeechAsked, call.body)
        if body.model not in MODELS:
            raise RequestError(f"there is no model {body.model[:80]!r}; models: {', '.join(MODELS)}", field="model")
        if body.instructions:
            call.notices.append("INSTRUCTIONS_IGNORED")
        form = FORMATS[body.response_format]
        asked = to_synthesis(body, call, whole=form.whole and body.stream_format == "audio")
        if body.stream_format == "sse":
            return self._speaking.sse(call, asked, DIALECT)
        if form.whole:
            return await self._speaking.whole(call, asked, form.media_type)
        return self._speaking.streamed(call, asked, form.media_type)

    async def voices(self, call: Call) -> ASGIApp:
        del call
        return JSONResponse({"object": "list", "voices": [_voice(one) for one in await self._library.list_voices()]})

    async def models(self, call: Call) -> ASGIApp:
        del call
        return JSONResponse({"object": "list", "data": [_model(name) for name in MODELS]})

    async def model(self, call: Call) -> ASGIApp:
        name = call.connection.path_params["model"]
        if name not in MODELS:
            raise NoSuchPath(f"there is no model {name[:80]!r}; models: {', '.join(MODELS)}")
        return JSONResponse(_model(name))


def to_synthesis(body: SpeechAsked, call: Call, *, whole: bool) -> SynthesisRequest:
    """The request that a body stands for.

    Raises:
        RequestError: there is nothing to speak, or no voice is named.
    """
    voice_id = body.voice if isinstance(body.voice, str) else body.voice.id
    if not body.input.strip():
        raise RequestError("there is nothing in it that could be spoken", field="input")
    if not voice_id:
        raise RequestError("must name a voice; GET /v1/audio/voices lists them", field="voice")
    return SynthesisRequest(
        request_id=call.request_id,
        voice_id=require_id(voice_id, "voice"),
        text=body.input,
        language=Language(body.language, LanguageMode.MIXED if body.language else LanguageMode.AUTO),
        audio=FORMATS[body.response_format].audio,
        sampling=SamplingParams(seed=body.seed),
        speaking_rate=body.speed,
        deadline_s=call.deadline_s,
        unary=whole,
    )


def _voice(voice: VoiceInfo) -> dict[str, object]:
    return {
        "id": voice.voice_id,
        "name": voice.display_name or voice.voice_id,
        "object": "voice",
        "version": voice.version,
        "languages": list(voice.languages),
        "sample_rate_hertz": voice.sample_rate_hz,
        "state": voice.state,
    }


def _model(name: str) -> dict[str, object]:
    return {"id": name, "object": "model", "created": 0, "owned_by": "voxswap"}
