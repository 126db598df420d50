"""What goes into a live stream and what only it answers.

Knows nothing of messages.
"""

from dataclasses import dataclass
from enum import StrEnum

from voxswap_client.speech import SpeechEvent


class SwitchPoint(StrEnum):
    """When a new voice takes over."""

    NOW = "now"
    NEXT_PHRASE = "next_phrase"
    NEXT_SENTENCE = "next_sentence"


@dataclass(frozen=True, slots=True)
class Text:
    """A piece of text, such as a few tokens of a language model; the server cuts sentences."""

    text: str


@dataclass(frozen=True, slots=True)
class Flush:
    """Speak what is buffered now."""


@dataclass(frozen=True, slots=True)
class SwitchVoice:
    voice_id: str
    at: SwitchPoint = SwitchPoint.NEXT_SENTENCE
    crossfade_ms: int = 0


@dataclass(frozen=True, slots=True)
class SetSpeakingRate:
    """From the next sentence on that has not begun, at the same pitch."""

    speaking_rate: float
    """> 1 is faster; 0.25 to 4."""


@dataclass(frozen=True, slots=True)
class CancelUtterance:
    """Barge-in: stop speaking and forget the queued text; the stream lives on."""


@dataclass(frozen=True, slots=True)
class Playhead:
    """Where the listener is."""

    sample: int


LiveInput = Text | Flush | SwitchVoice | SetSpeakingRate | CancelUtterance | Playhead


@dataclass(frozen=True, slots=True)
class UtteranceCancelled:
    """The answer to CancelUtterance."""

    heard_text: str
    unheard_text: str
    heard_sample: int
    next_sample: int


LiveEvent = SpeechEvent | UtteranceCancelled
