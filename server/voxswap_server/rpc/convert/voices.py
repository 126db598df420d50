"""VoiceService: messages to domain values and back. Uploads are assembled in `rpc/uploads.py`."""

from collections.abc import Mapping, Sequence

from voxswap.v1 import synthesis_pb2, voice_service_pb2
from voxswap_server.domain import Language, SamplingParams, SpeakerMatch, VoiceChanges, VoiceInfo
from voxswap_server.rpc.convert.fields import Fields, checked
from voxswap_server.rpc.convert.language import to_code, to_language
from voxswap_server.rpc.convert.speech import to_prompt, to_pronunciations, to_sampling

VERSIONS: Mapping[int, str] = {
    voice_service_pb2.MODEL_VERSION_UNSPECIFIED: "",
    voice_service_pb2.MODEL_VERSION_V1: "v1",
    voice_service_pb2.MODEL_VERSION_V2: "v2",
    voice_service_pb2.MODEL_VERSION_V2_PRO: "v2Pro",
    voice_service_pb2.MODEL_VERSION_V2_PRO_PLUS: "v2ProPlus",
    voice_service_pb2.MODEL_VERSION_V3: "v3",
    voice_service_pb2.MODEL_VERSION_V4: "v4",
}
VERSION_VALUES = {name: voice_service_pb2.ModelVersion.ValueType(value) for value, name in VERSIONS.items()}

STATE_VALUES: Mapping[str, voice_service_pb2.VoiceState.ValueType] = {
    "cold": voice_service_pb2.VOICE_STATE_COLD,
    "loading": voice_service_pb2.VOICE_STATE_LOADING,
    "resident": voice_service_pb2.VOICE_STATE_RESIDENT,
    "draining": voice_service_pb2.VOICE_STATE_DRAINING,
    "broken": voice_service_pb2.VOICE_STATE_BROKEN,
}

MAX_PAGE = 1000
MAX_MATCHES = 100
DEFAULT_MATCHES = 5
MAX_TAGS = 64
MAX_NAME_CHARACTERS = 200
MAX_PROSE_CHARACTERS = 4000


def from_voice(voice: VoiceInfo) -> voice_service_pb2.Voice:
    return voice_service_pb2.Voice(
        voice_id=voice.voice_id,
        model_version=VERSION_VALUES[voice.version],
        language_codes=voice.languages,
        natural_sample_rate_hertz=voice.sample_rate_hz,
        display_name=voice.display_name,
        description=voice.description,
        licence=voice.licence,
        consent=voice.consent,
        tags=voice.tags,
        has_prompt=voice.has_prompt,
        state=STATE_VALUES[voice.state],
        problem=voice.problem,
        bytes_total=voice.bytes_total,
        revision=voice.revision,
    )


def to_voice_id(voice_id: str) -> str:
    """Raises: InvalidFields."""
    with checked() as fields:
        return fields.voice_id("voice_id", voice_id)


def to_page(
    request: voice_service_pb2.ListVoicesRequest, voices: Sequence[VoiceInfo]
) -> voice_service_pb2.ListVoicesResponse:
    """One page of the voices. The token is the last id of the page before, so voices may come and go in between."""
    with checked() as fields:
        size = fields.between("page_size", request.page_size, 0, MAX_PAGE) or MAX_PAGE
        language = to_code(fields, "language_code", request.language_code) if request.language_code else ""
        if request.page_token:
            fields.voice_id("page_token", request.page_token)
    left = [
        voice
        for voice in sorted(voices, key=lambda voice: voice.voice_id)
        if voice.voice_id > request.page_token and (not language or language in voice.languages)
    ]
    page = left[:size]
    return voice_service_pb2.ListVoicesResponse(
        voices=[from_voice(voice) for voice in page],
        next_page_token=page[-1].voice_id if len(left) > size else "",
    )


def to_changes(request: voice_service_pb2.UpdateVoiceRequest) -> tuple[str, VoiceChanges]:
    """The voice and what to change of it.

    Raises:
        InvalidFields: lists everything that is wrong.
    """
    given = request.HasField
    with checked() as fields:
        voice_id = fields.voice_id("voice_id", request.voice_id)
        check_prose(fields, "", request)
        changes = VoiceChanges(
            display_name=request.display_name if given("display_name") else None,
            description=request.description if given("description") else None,
            licence=request.licence if given("licence") else None,
            consent=request.consent if given("consent") else None,
            tags=to_tags(fields, "tags.tags", request.tags.tags) if given("tags") else None,
            prompt=to_prompt(fields, "prompt", request.prompt) if given("prompt") else None,
            sampling=_to_default_sampling(fields, request.sampling_config) if given("sampling_config") else None,
            pronunciations=to_pronunciations(
                fields, "pronunciations.pronunciations", request.pronunciations.pronunciations
            )
            if given("pronunciations")
            else None,
        )
        if changes == VoiceChanges():
            fields.reject("", "nothing to change is set")
    return voice_id, changes


def _to_default_sampling(fields: Fields, sampling: synthesis_pb2.SamplingConfig) -> SamplingParams:
    if sampling.HasField("seed"):
        fields.reject("sampling_config.seed", "belongs to a request, not to a voice")
    return to_sampling(fields, "sampling_config", sampling)


def to_tags(fields: Fields, name: str, tags: Sequence[str]) -> tuple[str, ...]:
    fields.at_most(name, len(tags), MAX_TAGS, "tags")
    for index, tag in enumerate(tags):
        fields.require(f"{name}[{index}]", given=bool(tag.strip()))
        fields.at_most(f"{name}[{index}]", len(tag), MAX_NAME_CHARACTERS, "characters")
    return tuple(dict.fromkeys(tag.strip() for tag in tags))


def check_prose(
    fields: Fields, prefix: str, message: voice_service_pb2.NewVoice | voice_service_pb2.UpdateVoiceRequest
) -> None:
    """Lengths of the fields that are for people."""
    fields.at_most(f"{prefix}display_name", len(message.display_name), MAX_NAME_CHARACTERS, "characters")
    for name, value in (
        ("description", message.description),
        ("licence", message.licence),
        ("consent", message.consent),
    ):
        fields.at_most(f"{prefix}{name}", len(value), MAX_PROSE_CHARACTERS, "characters")


def check_new_voice(fields: Fields, voice: voice_service_pb2.NewVoice) -> tuple[str, tuple[str, ...], Language]:
    """Version ("" to detect), language codes and the transcript's language; the other fields are only checked."""
    fields.voice_id("voice.voice_id", voice.voice_id)
    check_prose(fields, "voice.", voice)
    to_tags(fields, "voice.tags", voice.tags)
    version = fields.choice(
        "voice.model_version", voice.model_version, voice_service_pb2.ModelVersion.DESCRIPTOR, VERSIONS
    )
    codes = (to_code(fields, f"voice.language_codes[{index}]", code) for index, code in enumerate(voice.language_codes))
    languages = tuple(dict.fromkeys(codes))
    language = to_language(fields, "voice.transcript_", voice.transcript_language_code, voice.transcript_language_mode)
    return version, languages, language


def to_audio(field: str, content: bytes) -> bytes:
    """Raises: InvalidFields."""
    with checked() as fields:
        fields.require(field, given=bool(content))
    return content


def to_limit(limit: int) -> int:
    """Raises: InvalidFields."""
    with checked() as fields:
        return fields.between("limit", limit, 0, MAX_MATCHES) or DEFAULT_MATCHES


def from_matches(matches: Sequence[SpeakerMatch]) -> voice_service_pb2.FindVoicesResponse:
    return voice_service_pb2.FindVoicesResponse(
        matches=[
            voice_service_pb2.SpeakerMatch(voice_id=match.voice_id, similarity=match.similarity) for match in matches
        ]
    )
