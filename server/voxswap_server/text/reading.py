"""What a language's front-end gives for a piece of text, and the protocol that all of them share.

Knows nothing of any language, nor of phone ids.
"""

import unicodedata
from dataclasses import dataclass
from itertools import pairwise
from typing import Protocol

from voxswap_server.domain import Notice


@dataclass(frozen=True, slots=True)
class Reading:
    """How a text of one language is read."""

    norm_text: str
    """The text as it is spoken: numbers in words, unknown marks gone."""
    phones: tuple[str, ...]
    word2ph: tuple[int, ...] | None = None
    """Phones of each character of `norm_text`, in languages that read by character; their sum is `len(phones)`."""
    dropped: frozenset[str] = frozenset()
    """Characters of the text that mean something and are not spoken."""
    words: tuple[tuple[str, int], ...] = ()
    """Words and marks of `norm_text` in order with how many phones each has, in languages that are read by word; the
    numbers sum to `len(phones)`."""
    notices: tuple[Notice, ...] = ()
    """Why it is not read as well as it could be."""


@dataclass(frozen=True, slots=True)
class Spoken:
    """A phrase of a text whose phones are given."""

    phrase: str
    units: tuple[tuple[str, ...], ...]
    """Phones by syllable, or one by one."""

    @property
    def phones(self) -> tuple[str, ...]:
        return tuple(phone for unit in self.units for phone in unit)

    def shared_out(self, characters: int) -> list[tuple[str, ...]]:
        """The phones of each of so many characters, in order: one syllable each where the numbers agree."""
        starts = [index * len(self.units) // characters for index in range(characters + 1)]
        return [tuple(phone for unit in self.units[start:end] for phone in unit) for start, end in pairwise(starts)]


Text = str | tuple[str | Spoken, ...]
"""What a reader reads: a text, or its stretches with phrases between them."""


def parts_of(text: Text) -> tuple[str | Spoken, ...]:
    return (text,) if isinstance(text, str) else text


class Reader(Protocol):
    """The front-end of one language. Safe to call from several threads."""

    def read(self, text: Text, symbols: str, *, spell_out: bool = True) -> Reading:
        """Reads a text.

        Args:
            text: any text; what the language cannot read is left out and reported.
            symbols: the alphabet of the voice, "v1" or "v2".
            spell_out: write numbers, dates, units and the like in words first.
        """
        ...


def meaningful(text: str) -> frozenset[str]:
    """The characters whose loss a listener would notice: letters, digits and symbols, not marks and blanks."""
    return frozenset(char for char in text if unicodedata.category(char)[0] in "LNS")
