"""The two soaks: endless text in one stream, and voices that push each other out of memory.

Knows nothing of files or of statistics: samples are handed on as they are taken.
"""

import time
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Sequence
from contextlib import aclosing
from dataclasses import dataclass
from typing import Final, Protocol

from bench.soak.log import Sample

Add = Callable[[Sample], None]

_WHO: Final = ("The baker", "My neighbour", "A tall stranger", "The old sailor", "Her youngest brother", "The clerk")
_DOES: Final = ("counted", "remembered", "lost", "sold", "carried home", "photographed", "gave away")
_WHAT: Final = ("lanterns", "letters", "umbrellas", "baskets of pears", "maps", "clay cups", "tickets", "small bells")
_WHERE: Final = ("by the river", "behind the station", "before noon", "in the rain", "without a word")


class Subject(Protocol):
    """Speaks and swaps."""

    async def load(self, voice_id: str) -> None:
        """Brings a voice into memory."""
        ...

    async def loads(self) -> int:
        """How many voices came into memory so far."""
        ...

    def talk(self, voice_id: str, sentences: AsyncIterator[str]) -> AsyncGenerator[float, None]:
        """One live stream; yields the seconds of audio of each piece that comes. Closing it ends it."""
        ...

    def rss_bytes(self) -> int:
        """Resident memory of the process that does it."""
        ...


@dataclass(frozen=True, slots=True)
class Bounds:
    """Whichever comes first ends a run."""

    minutes: float
    """By the clock on the wall."""
    count: float
    every: float
    """Counts between two samples."""


class Meter:
    """Takes samples at even distances of the count, and says when the run is over."""

    def __init__(self, subject: Subject, bounds: Bounds, add: Add, clock: Callable[[], float] = time.monotonic) -> None:
        self._subject = subject
        self._bounds = bounds
        self._add = add
        self._clock = clock
        self._began_s = clock()
        self._next = bounds.every

    def reached(self, count: float) -> bool:
        """Whether that is enough."""
        over = count >= self._bounds.count or self._elapsed_s >= 60 * self._bounds.minutes
        if count >= self._next or (over and count > 0):
            self._add(Sample(count, self._subject.rss_bytes(), self._elapsed_s))
            self._next = count + self._bounds.every
        return over

    @property
    def _elapsed_s(self) -> float:
        return self._clock() - self._began_s


async def swaps(subject: Subject, voices: Sequence[str], meter: Meter, speak_every: int) -> None:
    """Voices in turn; each load is one swap, and every so many a sentence is spoken.

    Raises:
        ValueError: voices are asked for and none is loaded, so all of them are in memory at once.
    """
    before, asked = await subject.loads(), 0
    while True:
        voice_id = voices[asked % len(voices)]
        await subject.load(voice_id)
        asked += 1
        if asked % speak_every == 0:
            await _said(subject, voice_id, sentence(asked))
        if asked % len(voices):
            continue
        count = await subject.loads() - before
        if count < asked / 2:
            raise ValueError(f"{asked} voices were asked for and only {count} were loaded: the budget holds them all")
        if meter.reached(count):
            return


async def text(subject: Subject, voice_id: str, meter: Meter) -> None:
    """One stream; counts minutes of audio."""
    heard_s = 0.0
    async with aclosing(subject.talk(voice_id, _sentences())) as pieces:
        async for duration_s in pieces:
            heard_s += duration_s
            if meter.reached(heard_s / 60):
                return
    raise ValueError("the stream ended by itself, although its text has no end")


def sentence(number: int) -> str:
    """One of many; a number in it makes each new to whatever remembers texts."""
    who, does = _WHO[number % len(_WHO)], _DOES[number % len(_DOES)]
    what, where = _WHAT[number % len(_WHAT)], _WHERE[number % len(_WHERE)]
    return f"{who} {does} {number + 2:,} {what} {where}. "


async def _sentences() -> AsyncIterator[str]:
    number = 0
    while True:
        yield sentence(number)
        number += 1


async def _said(subject: Subject, voice_id: str, words: str) -> None:
    async def once() -> AsyncIterator[str]:
        yield words

    async with aclosing(subject.talk(voice_id, once())) as pieces:
        async for _duration_s in pieces:
            pass
