"""One rendition of a sentence, or of the rest of one, by one voice.

Knows nothing of how it is made or sent. All samples here are at the rate of the stream and count from the take's own
first one; all characters count from the beginning of the sentence.
"""

import re
from collections import deque
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any

import numpy as np

from voxswap_server.domain import CacheState, Timestamp
from voxswap_server.engine.job import Samples, Span

_PHRASE_END = re.compile(r"[,;:.!?—…]+[\"'”’)\]]*\s|[，。；：！？、—…]")
"""Between two words it ends a phrase; a point inside a number or an abbreviation has no blank after it."""
_WORD = re.compile(r"\w")


@dataclass(frozen=True, slots=True)
class Sentence:
    number: int
    """Counts the sentences of the stream from 0."""
    text: str


@dataclass(frozen=True, slots=True)
class Word:
    """A word of a sentence and its place in a take."""

    start_char: int
    end_char: int
    start_sample: int
    end_sample: int


@dataclass(slots=True, eq=False)
class Cast:
    """A voice that the stream holds, or is about to."""

    voice_id: str
    ready: bool = False
    generation: int = 0
    cache_state: CacheState = CacheState.DEVICE
    load_ms: float = 0.0
    handle: Any = None
    """Of whoever holds it; nobody else looks at it."""


@dataclass(frozen=True, slots=True)
class Boundary:
    """Where one phrase ends and the next begins."""

    char: int
    """Of the first word of the next phrase."""
    sample: int


class Reel:
    """Samples that wait, first in first out."""

    def __init__(self) -> None:
        self._pieces: deque[Samples] = deque()
        self.size = 0

    def push(self, samples: Samples) -> None:
        if samples.size:
            self._pieces.append(samples)
            self.size += samples.size

    def push_back(self, samples: Samples) -> None:
        """Puts samples before all others."""
        self._pieces.appendleft(samples)
        self.size += samples.size

    def take(self, count: int) -> Samples:
        """The first `count` samples; fewer only where there are no more."""
        taken: list[Samples] = []
        count = left = min(count, self.size)
        while left:
            piece = self._pieces.popleft()
            if piece.size > left:
                self._pieces.appendleft(piece[left:])
                piece = piece[:left]
            taken.append(piece)
            left -= piece.size
        self.size -= count
        return taken[0] if len(taken) == 1 else np.concatenate([np.zeros(0, np.float32), *taken])


@dataclass(slots=True, eq=False)
class Take:
    sentence: Sentence
    start_char: int
    """Where in the sentence it begins to speak."""
    cast: Cast
    speaking_rate: float
    cued: bool = False
    """It comes in amid a sentence, so with its first sound: samples count from there."""
    reel: Reel = field(default_factory=Reel)
    sent: int = 0
    """Samples that left it."""
    ended: bool = False
    """No more samples will come."""
    words: list[Word] = field(default_factory=list)
    boundaries: list[Boundary] = field(default_factory=list)
    stamps: deque[tuple[Timestamp, ...]] = field(default_factory=deque)
    """Of its utterances, not told yet."""
    utterance_end: int = 0
    """First sample after the utterances that are whole."""
    handle: Any = None
    """Of whoever makes it; nobody else looks at it."""
    _last_char: int = 0
    """Behind the last word of the utterance that is being spoken; 0 while its words are not known."""

    @property
    def received(self) -> int:
        return self.sent + self.reel.size

    @property
    def spent(self) -> bool:
        """It is over and was sent whole."""
        return self.ended and not self.reel.size

    @property
    def is_aligned(self) -> bool:
        """The words of all that was received are known."""
        return self.ended or self._last_char > 0

    @property
    def text(self) -> str:
        return self.sentence.text[self.start_char :]

    def aligned(self, words: list[Word]) -> None:
        """The words of the utterance that is being spoken became known."""
        text = self.sentence.text
        for before, after in pairwise(words):
            if _PHRASE_END.search(text, before.end_char, after.start_char):
                middle = (before.end_sample + after.start_sample) // 2
                self.boundaries.append(Boundary(after.start_char, middle))
        self.words += words
        self._last_char = words[-1].end_char if words else 0

    def utterance_spoken(self, samples: int) -> None:
        """It is whole: with its pause it has so many samples."""
        self.utterance_end += samples
        text, end, self._last_char = self.sentence.text, self._last_char, 0
        following = _WORD.search(text, end) if end else None
        if following is not None and _PHRASE_END.search(text, end, following.start()):
            self.boundaries.append(Boundary(following.start(), self.utterance_end))


def located(take: Take, spans: Iterable[Span], scale: Callable[[int], int]) -> list[Word]:
    """Where the words of the take's next utterance stand in its sentence.

    Args:
        take: whose earlier utterances are aligned already.
        spans: the words, in order, in samples of their utterance.
        scale: from those to samples of the take.
    """
    text, position = take.sentence.text, take.words[-1].end_char if take.words else take.start_char
    words = []
    for span in spans:
        found = text.find(span.label, position)
        if found >= 0:
            position = found + len(span.label)
            words.append(Word(found, position, scale(span.start_sample), scale(span.end_sample)))
    return words
