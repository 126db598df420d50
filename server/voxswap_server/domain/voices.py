"""The voices that there are, what one brings, and what may be changed of it.

Knows nothing of how the store keeps them.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from voxswap_server.domain.request import Prompt, SamplingParams
from voxswap_server.domain.text import Pronunciation


@dataclass(frozen=True, slots=True)
class VoiceInfo:
    """A servable entry of the store."""

    voice_id: str
    version: str
    """Model version: v1, v2, v2Pro, v2ProPlus, v3, v4."""
    languages: tuple[str, ...]
    """BCP-47 codes."""
    sample_rate_hz: int
    display_name: str = ""
    description: str = ""
    licence: str = ""
    consent: str = ""
    tags: tuple[str, ...] = ()
    has_prompt: bool = True
    state: str = "cold"
    """cold, loading, resident, draining, broken."""
    problem: str = ""
    """Why the voice is broken, "" when it is not."""
    bytes_total: int = 0
    revision: str = ""
    """Content hash of the manifest; changes with every update."""


@dataclass(frozen=True, slots=True)
class VoiceUpload:
    """What CreateVoice brings, already joined from its stream."""

    voice_id: str
    t2s_checkpoint: bytes
    sovits_checkpoint: bytes
    prompt: Prompt | None
    version: str = ""
    """Overrides detection where the files cannot tell (a full v4 fine-tune)."""
    languages: tuple[str, ...] = ()
    display_name: str = ""
    description: str = ""
    licence: str = ""
    consent: str = ""
    tags: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class VoiceChanges:
    """What UpdateVoice may change; None leaves a field as it is."""

    display_name: str | None = None
    description: str | None = None
    licence: str | None = None
    consent: str | None = None
    tags: tuple[str, ...] | None = None
    prompt: Prompt | None = None
    sampling: SamplingParams | None = None
    pronunciations: tuple[Pronunciation, ...] | None = None
    """Replaces all of them."""


class VoiceLibrary(Protocol):
    """The voices that there are. Every method raises `VoxswapError` classes only."""

    async def list_voices(self) -> Sequence[VoiceInfo]: ...
    async def get_voice(self, voice_id: str) -> VoiceInfo: ...
    async def create_voice(self, upload: VoiceUpload) -> VoiceInfo: ...
    async def update_voice(self, voice_id: str, changes: VoiceChanges) -> VoiceInfo: ...
    async def delete_voice(self, voice_id: str) -> None: ...
