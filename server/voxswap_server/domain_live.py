"""What crosses the layers in a live stream: text comes in pieces, voices change, the listener may interrupt.

Knows nothing of torch, gRPC, WebSockets or files, as `domain`. Samples count the output of one stream from 0, at the
one rate that its StreamStarted tells, and never go back.
"""

from collections.abc import AsyncGenerator, AsyncIterator
from dataclasses import dataclass
from enum import StrEnum
from typing import Protocol

from voxswap_server.domain import (
    AudioChunk,
    CacheState,
    Notice,
    StreamStarted,
    SynthesisDone,
    SynthesisRequest,
    Timestamps,
)

LONGEST_CROSSFADE_MS = 1000


class SwitchPoint(StrEnum):
    """When a new voice takes over."""

    NOW = "now"
    """As soon as the new voice is ready to be heard, within a word if need be."""
    NEXT_PHRASE = "next_phrase"
    """At the next mark of punctuation that can still be reached."""
    NEXT_SENTENCE = "next_sentence"


@dataclass(frozen=True, slots=True)
class LiveConfig:
    """How a live stream starts. Its sample rate is that of the config, or of the first voice, and never changes."""

    speech: SynthesisRequest
    """Everything but the text, which is "": it comes as messages. Its prompt is that of the first voice alone."""
    max_ahead_s: float | None = None
    """Audio is sent at most so far ahead of the playhead, which is 0 until it is told. None: as far as the server
    allows, and without a limit before the first playhead."""


@dataclass(frozen=True, slots=True)
class LiveText:
    """A piece of text, such as a few tokens of a language model; the engine cuts sentences."""

    text: str


@dataclass(frozen=True, slots=True)
class Flush:
    """Speak what is buffered now, even if the sentence seems unfinished."""


@dataclass(frozen=True, slots=True)
class SwitchVoice:
    """Answered by VoiceChanged, or by a Notice where the present voice goes on."""

    voice_id: str
    at: SwitchPoint = SwitchPoint.NEXT_SENTENCE
    crossfade_ms: int = 0
    """0 to `LONGEST_CROSSFADE_MS`."""


@dataclass(frozen=True, slots=True)
class SetSpeakingRate:
    """From the next sentence on that has not begun; at the same pitch."""

    speaking_rate: float
    """> 1 is faster; 0.25 to 4."""


@dataclass(frozen=True, slots=True)
class CancelUtterance:
    """Barge-in: stop speaking and forget the queued text; the stream lives on. Answered by UtteranceCancelled."""


@dataclass(frozen=True, slots=True)
class Playhead:
    """Where the listener is."""

    sample: int


LiveMessage = LiveText | Flush | SwitchVoice | SetSpeakingRate | CancelUtterance | Playhead


@dataclass(frozen=True, slots=True)
class VoiceChanged:
    """From here on another voice is heard. Comes before the chunk that holds the sample."""

    voice_id: str
    start_sample: int
    """The first sample of the new voice; where there is a cross-fade, its first sample."""
    model_generation: int
    cache_state: CacheState
    load_ms: float


@dataclass(frozen=True, slots=True)
class UtteranceCancelled:
    """The answer to CancelUtterance. Nothing of what was asked for before it is still to come."""

    heard_text: str
    """Of what was cancelled: the text up to the last word that was heard, by the last playhead."""
    unheard_text: str
    """The text that was asked for and not heard, what was still buffered included."""
    heard_sample: int
    """The last playhead, but not more than was sent."""
    next_sample: int
    """The first sample of whatever is spoken next: a listener who drops what it holds misses nothing that counts."""


LiveEvent = StreamStarted | AudioChunk | Timestamps | VoiceChanged | UtteranceCancelled | Notice | SynthesisDone


class LiveSynthesizer(Protocol):
    """Speaks while the text is still being written."""

    def live(self, config: LiveConfig, messages: AsyncIterator[LiveMessage]) -> AsyncGenerator[LiveEvent, None]:
        """Yields StreamStarted, then whatever the messages bring about, then SynthesisDone.

        The end of `messages` is the end of the text: what is buffered is spoken, and the stream is done. Messages keep
        their order: while more text waits than the engine's limit, the next message is not read. Closing the iterator
        frees everything at the engine's next step, as for `Synthesizer.synthesize`; so does what `messages` raises.

        Raises:
            VoxswapError: any class of `errors`, whatever `messages` raises included.
        """
        ...
