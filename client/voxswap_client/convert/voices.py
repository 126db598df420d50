"""Voices and speakers: values to messages and back."""

from typing import Any

from voxswap.v1 import voice_service_pb2 as messages
from voxswap_client.convert import enums
from voxswap_client.convert.speech import to_mode, to_prompt, to_pronunciations, to_sampling
from voxswap_client.voices import NewVoice, SpeakerMatch, Voice, VoiceChanges

VERSIONS = {
    "": messages.MODEL_VERSION_UNSPECIFIED,
    "v1": messages.MODEL_VERSION_V1,
    "v2": messages.MODEL_VERSION_V2,
    "v2Pro": messages.MODEL_VERSION_V2_PRO,
    "v2ProPlus": messages.MODEL_VERSION_V2_PRO_PLUS,
    "v3": messages.MODEL_VERSION_V3,
    "v4": messages.MODEL_VERSION_V4,
}
_VERSION_NAMES: dict[int, str] = {value: name for name, value in VERSIONS.items()}


def to_version(version: str) -> Any:
    """Raises: ValueError, there is no such version."""
    if version not in VERSIONS:
        raise ValueError(f"there is no model version {version!r}; choices: {', '.join(filter(None, VERSIONS))}")
    return VERSIONS[version]


def to_new_voice(voice: NewVoice) -> messages.NewVoice:
    return messages.NewVoice(
        voice_id=voice.voice_id,
        model_version=to_version(voice.version),
        language_codes=voice.language_codes,
        display_name=voice.display_name,
        description=voice.description,
        licence=voice.licence,
        consent=voice.consent,
        tags=voice.tags,
        transcript=voice.transcript,
        transcript_language_code=voice.transcript_language_code,
        transcript_language_mode=to_mode(voice.transcript_language_mode),
    )


def to_update(voice_id: str, changes: VoiceChanges) -> messages.UpdateVoiceRequest:
    return messages.UpdateVoiceRequest(
        voice_id=voice_id,
        display_name=changes.display_name,
        description=changes.description,
        licence=changes.licence,
        consent=changes.consent,
        tags=None if changes.tags is None else messages.TagList(tags=changes.tags),
        prompt=to_prompt(changes.prompt) if changes.prompt else None,
        sampling_config=to_sampling(changes.sampling) if changes.sampling else None,
        pronunciations=None
        if changes.pronunciations is None
        else messages.PronunciationList(pronunciations=to_pronunciations(changes.pronunciations)),
    )


def from_voice(voice: messages.Voice) -> Voice:
    return Voice(
        voice_id=voice.voice_id,
        version=_VERSION_NAMES.get(voice.model_version, str(voice.model_version)),
        language_codes=tuple(voice.language_codes),
        sample_rate_hz=voice.natural_sample_rate_hertz,
        display_name=voice.display_name,
        description=voice.description,
        licence=voice.licence,
        consent=voice.consent,
        tags=tuple(voice.tags),
        has_prompt=voice.has_prompt,
        state=enums.name(messages.VoiceState.DESCRIPTOR, "VOICE_STATE", voice.state),
        problem=voice.problem,
        bytes_total=voice.bytes_total,
        revision=voice.revision,
    )


def from_matches(response: messages.FindVoicesResponse) -> tuple[SpeakerMatch, ...]:
    return tuple(SpeakerMatch(match.voice_id, match.similarity) for match in response.matches)
