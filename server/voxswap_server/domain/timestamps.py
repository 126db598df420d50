"""Stretches of the audio with names: its words, phones and shapes of the mouth.

Knows nothing of how they are found.
"""

from dataclasses import dataclass
from enum import StrEnum


class TimestampKind(StrEnum):
    """What a timestamp marks."""

    WORD = "word"
    PHONE = "phone"
    VISEME = "viseme"
    """A shape of the mouth, for lip-sync."""


@dataclass(frozen=True, slots=True)
class Timestamp:
    """One stretch of the audio with a name."""

    kind: TimestampKind
    label: str
    """The word as written, the phone of the alphabet, or the name of the viseme."""
    start_sample: int
    end_sample: int
    """The first sample after it."""


@dataclass(frozen=True, slots=True)
class Timestamps:
    """Of one utterance, by rising start within each kind."""

    timestamps: tuple[Timestamp, ...]
