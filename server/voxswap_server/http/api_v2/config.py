"""Settings of the api_v2 surface. Paths are those that old clients send; nothing is read from where they point."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path


@dataclass(frozen=True, slots=True)
class ApiV2Config:
    voices: Mapping[str, str] = field(default_factory=dict)
    """From old paths of weights, s1 and s2 alike, to ids of voices. A path matches by its end."""
    references: Mapping[str, Path] = field(default_factory=dict)
    """From old paths of reference audio to files of this machine. A path matches by its end."""
    default_voice: str = ""
    """Who speaks for a client that chose nobody; "" refuses it."""
    max_clients: int = 1000
    """Callers whose choices are remembered; the longest silent one is forgotten first."""
    client_ttl_s: float = 6 * 3600.0
    """How long a choice is remembered after its last use."""
    max_reference_bytes: int = 16 * 1024**2
    """Of one uploaded clip, or one in a data URI."""
    max_uploads: int = 16
    """Clips that one caller may keep here; its own oldest goes first."""
    max_upload_bytes: int = 128 * 1024**2
    """Of all clips of all callers; one more is refused."""
