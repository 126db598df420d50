"""What a language's front-end gives for a piece of text, and the protocol that all of them share.

Knows nothing of any language, nor of phone ids.
"""

import unicodedata
from dataclasses import dataclass
from typing import Protocol


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


class Reader(Protocol):
    """The front-end of one language. Safe to call from several threads."""

    def read(self, text: str, symbols: str) -> Reading:
        """Reads a text.

        Args:
            text: any text; what the language cannot read is left out and reported.
            symbols: the alphabet of the voice, "v1" or "v2".
        """
        ...


def meaningful(text: str) -> frozenset[str]:
    """The characters whose loss a listener would notice: letters, digits and symbols, not marks and blanks."""
    return frozenset(char for char in text if unicodedata.category(char)[0] in "LNS")
