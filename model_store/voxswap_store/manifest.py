"""`voice.toml`: everything about a voice that is not a tensor or a sample.

Knows nothing of directories or networks. The schema is strict in both directions: an unknown key, a wrong kind or a
version that does not exist is an error with its place, never a default.
"""

import hashlib
import json
import re
import tomllib
from collections import Counter
from pathlib import PurePosixPath
from typing import Annotated, Any, Final, Literal, Self

import tomli_w
from pydantic import BaseModel, ConfigDict, Field, StringConstraints, ValidationError, model_validator

from voxswap_server.domain import (
    CutMethod,
    Language,
    LanguageMode,
    PhoneticEncoding,
    Pronunciation,
    SamplingParams,
)
from voxswap_server.errors import RequestError
from voxswap_store.versions import LANGUAGES, SYMBOLS, Symbols, Version

FORMAT: Final = 1
"""Version of the schema and of the stored tensors' names; another number is refused, never guessed at."""
ID_PATTERN: Final = r"^[a-z0-9][a-z0-9_-]{0,63}$"
_ID: Final = re.compile(r"[a-z0-9][a-z0-9_-]{0,63}")

VoiceId = Annotated[str, StringConstraints(pattern=ID_PATTERN)]
Sha256 = Annotated[str, StringConstraints(pattern=r"^[0-9a-f]{64}$")]
FileName = Annotated[str, StringConstraints(pattern=r"^[a-z0-9][a-z0-9_.-]{0,99}$")]
Line = Annotated[str, StringConstraints(max_length=200, pattern=r"^[^\x00-\x1f\x7f]*$")]
Text = Annotated[str, StringConstraints(max_length=4000, pattern=r"^[^\x00-\x08\x0b-\x1f\x7f]*$")]


def is_id(text: str) -> bool:
    """Whether it may name a voice."""
    return _ID.fullmatch(text) is not None


def require_id(voice_id: str, *, field: str = "voice_id") -> str:
    """The id itself.

    Raises:
        RequestError: it is none; ids are the only names of voices, so nothing that could be a path gets past here.
    """
    if not is_id(voice_id):
        raise RequestError(
            f"voice id {voice_id[:80]!r} is not made of 1 to 64 of a-z 0-9 _ -, starting with a letter or a digit",
            field=field,
        )
    return voice_id


class BadManifest(ValueError):
    """The text is no manifest; the message says which line or key is wrong."""


class Strict(BaseModel):
    """Refuses unknown keys, other kinds and changes."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)


class StoredFile(Strict):
    """One file beside the manifest."""

    name: FileName
    sha256: Sha256
    bytes: Annotated[int, Field(ge=1)]

    @model_validator(mode="after")
    def _stays_here(self) -> Self:
        if PurePosixPath(self.name).name != self.name or ".." in self.name:
            raise ValueError("a file of a voice lies in the voice's own folder")
        return self


class Files(Strict):
    """What a voice is made of."""

    t2s: StoredFile
    decoder: StoredFile
    prompt: StoredFile | None = None
    """The reference audio, already encoded; made again whenever it is missing."""
    reference: StoredFile | None = None
    """The reference audio as it was given."""
    auxiliary: tuple[StoredFile, ...] = ()
    """More clips of the speaker, for the timbre."""

    def all(self) -> tuple[StoredFile, ...]:
        return tuple(f for f in (self.t2s, self.decoder, self.prompt, self.reference, *self.auxiliary) if f)


class PromptText(Strict):
    """What is said in the reference audio."""

    transcript: Text = ""
    """"" is no-prompt mode, where the version allows it."""
    language: Annotated[str, StringConstraints(pattern=r"^[a-z]{0,3}$")] = ""
    """BCP-47 code; "" is to be detected."""
    mode: LanguageMode = LanguageMode.MIXED

    @property
    def spoken(self) -> Language:
        return Language(self.language, self.mode)


class Defaults(Strict):
    """What a request that does not say gets; None is the server's own."""

    top_k: Annotated[int, Field(ge=1, le=1025)] | None = None
    top_p: Annotated[float, Field(gt=0, le=1)] | None = None
    temperature: Annotated[float, Field(gt=0, le=10)] | None = None
    repetition_penalty: Annotated[float, Field(gt=0, le=10)] | None = None
    cut_method: CutMethod | None = None
    pause_s: Annotated[float, Field(ge=0, le=10)] | None = None
    sample_steps: Annotated[int, Field(ge=1, le=1000)] | None = None
    """Of the flow-matching decoder (v3, v4)."""

    @property
    def sampling(self) -> SamplingParams:
        return SamplingParams(self.top_k, self.top_p, self.temperature, self.repetition_penalty)


class StoredPronunciation(Strict):
    """How the voice says one word or phrase, unless a request says otherwise."""

    phrase: Annotated[str, StringConstraints(strip_whitespace=True, min_length=1, max_length=100)]
    pronunciation: Annotated[str, StringConstraints(strip_whitespace=True, min_length=1, max_length=500)]
    encoding: PhoneticEncoding = PhoneticEncoding.PHONES

    @property
    def spoken(self) -> Pronunciation:
        return Pronunciation(self.phrase, self.pronunciation, self.encoding)


class Source(Strict):
    """Where one half came from."""

    sha256: Sha256
    """Of the checkpoint as it was imported."""
    info: Line = ""
    """The trainer's own note, such as "GPT-e15"."""
    head: Annotated[str, StringConstraints(pattern=r"^(PK|0[0-6])$")] = "PK"


class Origin(Strict):
    """Provenance."""

    t2s: Source
    sovits: Source
    base_sha256: Sha256 | None = None
    """Of the stored base that the decoder, a LoRA, lies on; None: the decoder is whole."""


class VoiceManifest(Strict):
    """A voice of the store."""

    format: Literal[1]
    voice_id: VoiceId
    version: Version
    symbols: Symbols
    """Symbol table of the phones."""
    languages: Annotated[tuple[Annotated[str, StringConstraints(pattern=r"^[a-z]{2,3}$")], ...], Field(min_length=1)]
    """BCP-47 codes that the voice is offered for."""
    display_name: Line = ""
    description: Text = ""
    licence: Line = ""
    """Under which the weights may be used, as its owner names it."""
    consent: Text = ""
    """What the person heard agreed to."""
    tags: tuple[Line, ...] = ()
    files: Files
    prompt: PromptText = PromptText()
    defaults: Defaults = Defaults()
    pronunciations: Annotated[tuple[StoredPronunciation, ...], Field(max_length=1000)] = ()
    """Checked against the alphabet when the voice speaks."""
    check_speech: bool = True
    """Whether what it says is checked for signs of a model that has lost itself (docs/STREAMING.md)."""
    origin: Origin | None = None

    @model_validator(mode="after")
    def _fits_together(self) -> Self:
        if SYMBOLS[self.version] != self.symbols:
            raise ValueError(f"{self.version} uses {SYMBOLS[self.version]} symbols, not {self.symbols}")
        unspoken = set(self.languages) - set(LANGUAGES[self.symbols])
        if unspoken:
            choices = ", ".join(LANGUAGES[self.symbols])
            raise ValueError(f"{self.version} does not speak {', '.join(sorted(unspoken))}; choose from {choices}")
        phrases = Counter(entry.phrase.casefold() for entry in self.pronunciations)
        if twice := [phrase for phrase, times in phrases.items() if times > 1]:
            raise ValueError(f"two pronunciations are of {', '.join(map(repr, twice))}")
        names = [file.name for file in self.files.all()]
        if len(set(names)) != len(names):
            raise ValueError("two files have one name")
        return self

    @property
    def revision(self) -> str:
        """Content address of all but the cached prompt, which follows from the rest."""
        told = self.model_dump(mode="json")
        told["files"].pop("prompt")
        return hashlib.sha256(json.dumps(told, sort_keys=True).encode()).hexdigest()[:16]

    @property
    def base_sha256(self) -> str | None:
        """Of the stored base that the decoder lies on; None where it is whole."""
        return self.origin.base_sha256 if self.origin else None

    @property
    def bytes_total(self) -> int:
        return sum(file.bytes for file in self.files.all())


def parse_manifest(text: str) -> VoiceManifest:
    """Reads a `voice.toml`.

    Raises:
        BadManifest: it is no TOML, or not of this schema; the message names every key that is wrong.
    """
    try:
        table = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise BadManifest(f"voice.toml is not TOML: {error}") from None
    if table.get("format") != FORMAT:
        raise BadManifest(f"voice.toml has format {table.get('format')!r}; this release reads format {FORMAT}")
    try:
        # By way of JSON, where a strict schema still takes an array for a tuple and a word for an enum.
        return VoiceManifest.model_validate_json(json.dumps(table, default=str))
    except ValidationError as error:
        raise BadManifest(f"voice.toml: {_readable(error)}") from None


def format_manifest(manifest: VoiceManifest) -> str:
    """The text of a `voice.toml`; `parse_manifest` gives the same manifest back."""
    table = _without_none(manifest.model_dump(mode="json"))
    if not manifest.pronunciations:
        del table["pronunciations"]  # an empty list would forbid to add `[[pronunciations]]` by hand
    return tomli_w.dumps(table, multiline_strings=True)


def _readable(error: ValidationError) -> str:
    wrong = [f"{'.'.join(map(str, problem['loc'])) or 'the whole'}: {problem['msg']}" for problem in error.errors()[:5]]
    return "; ".join(wrong)


def _without_none(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _without_none(item) for key, item in value.items() if item is not None}
    if isinstance(value, list):
        return [_without_none(item) for item in value]
    return value
