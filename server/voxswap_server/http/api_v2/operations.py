"""Upstream's five paths, and one to upload reference audio.

Knows nothing of how speech is made. What upstream changes for everybody, here changes for the client that asks.
"""

from collections.abc import Callable
from typing import Any

from starlette.responses import JSONResponse
from starlette.types import ASGIApp

from voxswap_server.domain import Prompt, VoiceLibrary
from voxswap_server.errors import RequestError, VoiceNotFound
from voxswap_server.http.api_v2.clients import Chosen, Clients, caller_of
from voxswap_server.http.api_v2.config import ApiV2Config
from voxswap_server.http.api_v2.parameters import LANGUAGES, TtsAsked, to_synthesis
from voxswap_server.http.api_v2.paths import find, listed
from voxswap_server.http.api_v2.references import References
from voxswap_server.http.bodies import from_mapping, json_object, require_id
from voxswap_server.http.calls import Call
from voxswap_server.http.operations import Operation
from voxswap_server.http.problems import Dialect, Document, NotYours
from voxswap_server.http.speaking import Speaking
from voxswap_server.limits import is_id

SUCCESS = {"message": "success"}


class UnknownWeights(RequestError):
    """No voice goes by this path or id."""

    reason = "UNKNOWN_WEIGHTS"


class MixedVoices(RequestError):
    """The weights or the reference that were chosen belong to different voices."""

    reason = "MIXED_VOICES"


def _upstreams_members(document: Document) -> Document:
    """What upstream answers when something fails."""
    return {"message": document["detail"], "Exception": document["reason"]}


DIALECT = Dialect(
    fields={
        "language_code": "text_lang",
        "speaking_rate": "speed_factor",
        "prompt": "ref_audio_path",
        "prompt.audio": "ref_audio_path",
        "prompt.auxiliary": "aux_ref_audio_paths",
        "prompt.language_code": "prompt_lang",
        "prompt.transcript": "prompt_text",
    },
    extend=_upstreams_members,
)


class ApiV2:
    """The operations of this surface."""

    def __init__(
        self, speaking: Speaking, library: VoiceLibrary, config: ApiV2Config, clock: Callable[[], float]
    ) -> None:
        self._speaking = speaking
        self._library = library
        self._config = config
        self._clients = Clients(config, clock)
        self._references = References(config, clock)

    def operations(self) -> tuple[Operation, ...]:
        # A data URI is a third longer than what it holds, and there may be auxiliary clips too.
        most = self._config.max_reference_bytes * 2
        both = {"GET": self.tts, "POST": self.tts}
        return (
            Operation("/tts", both, dialect=DIALECT, max_body_bytes=most),
            Operation("/set_gpt_weights", {"GET": self.set_gpt_weights}, dialect=DIALECT),
            Operation("/set_sovits_weights", {"GET": self.set_sovits_weights}, dialect=DIALECT),
            Operation("/set_refer_audio", {"GET": self.set_refer_audio}, dialect=DIALECT),
            Operation("/control", {"GET": self.control, "POST": self.control}, dialect=DIALECT),
            Operation("/v1/references", {"POST": self.keep}, max_body_bytes=self._config.max_reference_bytes),
        )

    async def tts(self, call: Call) -> ASGIApp:
        given = _given(call)
        asked = from_mapping(TtsAsked, given)
        if given.keys() - TtsAsked.model_fields.keys():
            call.notices.append("FIELDS_IGNORED")
        chosen = self._clients.chosen(call)
        reference = asked.ref_audio_path or chosen.reference
        owner = await self._owner(reference) if reference else ""
        if asked.aux_ref_audio_paths and (owner or not reference):
            raise RequestError("needs a ref_audio_path with audio of its own beside it", field="aux_ref_audio_paths")
        voice_id = await self._voice(asked, chosen, owner)
        prompt = None if owner else await self._prompt(call, asked, reference)
        request = to_synthesis(asked, call, voice_id, prompt)
        media_type = f"audio/{asked.media_type}"
        if asked.streams:
            return self._speaking.streamed(call, request, media_type)
        return await self._speaking.whole(call, request, media_type)

    async def set_gpt_weights(self, call: Call) -> ASGIApp:
        self._clients.choose(call, t2s_voice=await self._weights(call))
        return JSONResponse(SUCCESS)

    async def set_sovits_weights(self, call: Call) -> ASGIApp:
        self._clients.choose(call, sovits_voice=await self._weights(call))
        return JSONResponse(SUCCESS)

    async def set_refer_audio(self, call: Call) -> ASGIApp:
        reference = _required(call, "refer_audio_path")
        if not await self._owner(reference):
            await self._references.audio(caller_of(call), reference, "refer_audio_path")
        self._clients.choose(call, reference=reference)
        return JSONResponse(SUCCESS)

    async def control(self, call: Call) -> ASGIApp:
        """Upstream restarts or ends the process. A client can only begin anew itself."""
        command = str(_given(call).get("command", ""))
        if command == "restart":
            self._clients.forget(call)
            return JSONResponse(SUCCESS)
        if command == "exit":
            raise NotYours("this server serves others too, so no client can end it; its operator sends SIGTERM")
        raise RequestError(f"there is no command {command[:80]!r}; commands: restart, exit", field="command")

    async def keep(self, call: Call) -> ASGIApp:
        name = self._references.keep(caller_of(call), call.body)
        return JSONResponse({"reference": name, "kept_for_s": self._config.client_ttl_s}, status_code=201)

    async def _weights(self, call: Call) -> str:
        """The voice that the path of a checkpoint stands for."""
        path = _required(call, "weights_path")
        voice_id = find(self._config.voices, path) or path
        if not await self._is_voice(voice_id):
            raise await self._unknown(path, "weights_path")
        return voice_id

    async def _owner(self, reference: str) -> str:
        """The voice whose own reference is meant; "" where it is somebody's file."""
        known = find(self._config.voices, reference) or reference
        return known if await self._is_voice(known) else ""

    async def _is_voice(self, voice_id: str) -> bool:
        if not is_id(voice_id):
            return False
        try:
            await self._library.get_voice(voice_id)
        except VoiceNotFound:
            return False
        return True

    async def _voice(self, asked: TtsAsked, chosen: Chosen, owner: str) -> str:
        """Who speaks.

        Raises:
            MixedVoices: more than one was chosen.
            RequestError: none was.
        """
        if asked.voice_id:
            return require_id(asked.voice_id, "voice_id")
        named = {name for name in (chosen.t2s_voice, chosen.sovits_voice, owner) if name}
        if len(named) > 1:
            raise MixedVoices(
                f"the s1 weights are those of voice {chosen.t2s_voice or 'none'!r}, the s2 weights those of "
                f"{chosen.sovits_voice or 'none'!r}, the reference that of {owner or 'none'!r}; a voice is spoken "
                "whole: set both weights, or import the pair as a voice of its own"
            )
        if not named and not self._config.default_voice:
            ids = [voice.voice_id for voice in await self._library.list_voices()]
            raise RequestError(
                "no voice was chosen: call /set_gpt_weights first, or send voice_id, or set http.api_v2.default_voice; "
                f"voices: {listed(ids)}",
                field="voice_id",
            )
        return named.pop() if named else self._config.default_voice

    async def _prompt(self, call: Call, asked: TtsAsked, reference: str) -> Prompt | None:
        """What the request brings to be spoken after; None: the voice's own."""
        if not reference:
            return None
        if asked.prompt_text and not asked.prompt_lang:
            raise RequestError(f"must be set with prompt_text; one of {', '.join(LANGUAGES)}", field="prompt_lang")
        caller = caller_of(call)
        auxiliary = [
            await self._references.audio(caller, name, "aux_ref_audio_paths") for name in asked.aux_ref_audio_paths
        ]
        return Prompt(
            audio=await self._references.audio(caller, reference, "ref_audio_path"),
            transcript=asked.prompt_text,
            language=LANGUAGES[asked.prompt_lang or "auto"],
            auxiliary=tuple(auxiliary),
        )

    async def _unknown(self, path: str, field: str) -> UnknownWeights:
        ids = [voice.voice_id for voice in await self._library.list_voices()]
        return UnknownWeights(
            f"no voice goes by {path[:200]!r}; configured paths: {listed(self._config.voices)}; voices: {listed(ids)}",
            field=field,
        )


def _given(call: Call) -> dict[str, Any]:
    """What a call brings, in its body or in its query."""
    if call.connection.scope["method"] == "POST":
        return json_object(call.body)
    query = call.connection.query_params
    many = {"aux_ref_audio_paths": query.getlist("aux_ref_audio_paths")}
    return dict(query) | {name: values for name, values in many.items() if values}


def _required(call: Call, name: str) -> str:
    value = call.connection.query_params.get(name, "")
    if not value:
        raise RequestError("must be set", field=name)
    return str(value)
