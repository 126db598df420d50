"""Voices of the store, and who is heard in a clip.

Knows nothing of messages.
"""

from dataclasses import dataclass
from os import PathLike

from voxswap_client.speech import LanguageMode, Prompt, Pronunciation, Sampling

Content = bytes | PathLike[str]
"""A file's bytes, or where they lie on this machine; a file is read while it is sent."""


@dataclass(frozen=True, slots=True)
class Voice:
    """A servable entry of the store."""

    voice_id: str
    version: str
    """v1, v2, v2Pro, v2ProPlus, v3 or v4."""
    language_codes: tuple[str, ...]
    sample_rate_hz: int
    display_name: str
    description: str
    licence: str
    consent: str
    tags: tuple[str, ...]
    has_prompt: bool
    """False: each request must bring its own."""
    state: str
    """cold, loading, resident, draining or broken."""
    problem: str
    """Why it is broken."""
    bytes_total: int
    revision: str


@dataclass(frozen=True, slots=True)
class NewVoice:
    """A voice to be uploaded."""

    voice_id: str
    t2s_checkpoint: Content
    """Upstream's GPT (s1) file."""
    sovits_checkpoint: Content
    """Upstream's SoVITS (s2) file."""
    reference_audio: Content | None = None
    transcript: str = ""
    transcript_language_code: str = ""
    transcript_language_mode: LanguageMode | None = None
    auxiliary_audio: tuple[Content, ...] = ()
    version: str = ""
    """"" is told from the files."""
    language_codes: tuple[str, ...] = ()
    """Empty: all that the version speaks."""
    display_name: str = ""
    description: str = ""
    licence: str = ""
    consent: str = ""
    tags: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class VoiceChanges:
    """None leaves a field as it is."""

    display_name: str | None = None
    description: str | None = None
    licence: str | None = None
    consent: str | None = None
    tags: tuple[str, ...] | None = None
    """Replaces all tags."""
    prompt: Prompt | None = None
    sampling: Sampling | None = None
    """Replaces the default sampling as a whole; without a seed."""
    pronunciations: tuple[Pronunciation, ...] | None = None
    """Replaces all of them; those of a request come before them."""


@dataclass(frozen=True, slots=True)
class SpeakerMatch:
    voice_id: str
    similarity: float
    """Cosine, -1 to 1."""
