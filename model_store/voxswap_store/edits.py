"""What an import and an update write: checked fields, audio files, names that meet no older file.

Knows nothing of which voices there are; `catalogue.py` puts what is made here in its place.
"""

from collections.abc import Mapping, Sequence
from typing import Any

from pydantic import ValidationError

from voxswap_server.domain import Prompt, Pronunciation, SamplingParams
from voxswap_server.errors import RequestError
from voxswap_store.audio_names import ending_of
from voxswap_store.files import Staging
from voxswap_store.manifest import Defaults, PromptText, StoredFile, StoredPronunciation, VoiceManifest


def revised(manifest: VoiceManifest, fields: Mapping[str, Any]) -> VoiceManifest:
    """The manifest with some fields changed, checked anew.

    Raises:
        RequestError: a value is not allowed.
    """
    try:
        return VoiceManifest.model_validate({**dict(manifest), **fields})
    except ValidationError as error:
        raise refused(error) from None


def refused(error: ValidationError, prefix: str = "") -> RequestError:
    """The first thing that is wrong, with its place."""
    problem = error.errors()[0]
    place = ".".join(filter(None, (prefix, *map(str, problem["loc"]))))
    return RequestError(f"{place or 'voice'}: {problem['msg']}", field=place)


def store_prompt_files(staging: Staging, prompt: Prompt, *, suffix: bool = False) -> dict[str, Any]:
    """Writes reference audio; returns the fields of `Files` that name it.

    Args:
        staging: where to.
        prompt: what.
        suffix: name the files by their content, so that they can lie beside older ones.
    """
    stored = [
        _store_audio(staging, clip, f"auxiliary-{index}" if index else "reference", suffix=suffix)
        for index, clip in enumerate((prompt.audio, *prompt.auxiliary))
    ]
    return {"reference": stored[0], "auxiliary": tuple(stored[1:]), "prompt": None}


def prompt_text(prompt: Prompt) -> PromptText:
    """What is said in the reference audio, as the manifest keeps it."""
    text = " ".join(prompt.transcript.split())
    try:
        return PromptText(transcript=text, language=prompt.language.code, mode=prompt.language.mode)
    except ValidationError as error:
        raise refused(error, "prompt") from None


def _store_audio(staging: Staging, audio: bytes, stem: str, *, suffix: bool) -> StoredFile:
    if not audio:
        raise RequestError("the reference audio is empty", field="prompt.audio")
    name = f"{stem}.{ending_of(audio)}"
    file = staging.write(name, lambda sink: sink.write(audio))
    return content_named(staging, file) if suffix else file


def content_named(staging: Staging, file: StoredFile) -> StoredFile:
    """Renames a file aside so that its name tells its content and meets no older file."""
    stem, _, ending = file.name.rpartition(".")
    renamed = file.model_copy(update={"name": f"{stem}-{file.sha256[:8]}.{ending}"})
    (staging.path / file.name).rename(staging.path / renamed.name)
    return renamed


def stored_pronunciations(given: Sequence[Pronunciation]) -> tuple[StoredPronunciation, ...]:
    """As the manifest keeps them.

    Raises:
        RequestError: one is empty or too long.
    """
    try:
        return tuple(
            StoredPronunciation(phrase=one.phrase, pronunciation=one.pronunciation, encoding=one.encoding)
            for one in given
        )
    except ValidationError as error:
        raise refused(error, "pronunciations") from None


def with_sampling(defaults: Defaults, sampling: SamplingParams) -> Defaults:
    wanted = ("top_k", "top_p", "temperature", "repetition_penalty")
    fields = {name: value for name in wanted if (value := getattr(sampling, name)) is not None}
    try:
        return Defaults.model_validate({**dict(defaults), **fields})
    except ValidationError as error:
        raise refused(error, "sampling") from None
