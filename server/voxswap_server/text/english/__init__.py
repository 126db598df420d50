"""The English front-end: normalises, then reads word by word in ARPAbet with stress.

Knows nothing of other languages. Its phones are upstream's, except for personal names that only upstream's own list
has; those go through the word model.
"""

import re

from nltk.tokenize import TweetTokenizer

from voxswap_server.text.english.normalise import normalise
from voxswap_server.text.english.numbers import NumberReader
from voxswap_server.text.english.words import WordReader
from voxswap_server.text.reading import Reading
from voxswap_server.text.symbols import SYMBOLS

_HAS_LETTER = re.compile("[a-z]", re.IGNORECASE)
_SHORTEST_PHONES = 4


class EnglishReader:
    """Reads English. Resources load at the first text, once; any thread may call it."""

    def __init__(self) -> None:
        self._numbers = NumberReader()
        self._words = WordReader()

    def read(self, text: str, symbols: str) -> Reading:
        norm_text, dropped = normalise(text, self._numbers)
        alphabet = SYMBOLS[symbols]
        phones: list[str] = []
        for token in TweetTokenizer().tokenize(norm_text):
            phones.extend(phone for phone in self._token(token) if phone != "UW")
        spoken = [phone if phone in alphabet else "-" if phone == "'" else phone for phone in phones]
        if len(spoken) < _SHORTEST_PHONES:
            spoken.insert(0, ",")
        return Reading(norm_text, tuple(spoken), dropped=dropped)

    def _token(self, token: str) -> tuple[str, ...]:
        if _HAS_LETTER.search(token) is None:
            return (token,)
        return self._words.letter(token) if len(token) == 1 else self._words.phones(token)


__all__ = ["EnglishReader"]
