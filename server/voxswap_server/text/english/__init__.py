"""The English front-end: normalises, then reads word by word in ARPAbet with stress.

Knows nothing of other languages. Its phones are upstream's, except for personal names that only upstream's own list
has; those go through the word model.
"""

import re
from collections.abc import Iterable

from nltk.tokenize import TweetTokenizer

from voxswap_server.text.english.normalise import normalise
from voxswap_server.text.english.words import WordReader
from voxswap_server.text.reading import Reading, Spoken, Text, parts_of
from voxswap_server.text.symbols import SYMBOLS

_HAS_LETTER = re.compile("[a-z]", re.IGNORECASE)
_POSSESSIVE_END = re.compile(r"'s(?![A-Za-z'])", re.IGNORECASE)
_SHORTEST_PHONES = 4


class EnglishReader:
    """Reads English. Resources load at the first text, once; any thread may call it."""

    def __init__(self) -> None:
        self._words = WordReader()

    def read(self, text: Text, symbols: str, *, spell_out: bool = True) -> Reading:
        alphabet = SYMBOLS[symbols]
        norm_text, dropped = "", frozenset[str]()
        phones: list[str] = []
        words: list[tuple[str, int]] = []

        def add(word: str, said: Iterable[str]) -> None:
            before = len(phones)
            phones.extend(said)
            words.append((word, len(phones) - before))

        given: tuple[str, ...] = ()
        for part in parts_of(text):
            if isinstance(part, Spoken):
                norm_text += part.phrase
                given = part.phones
                add(part.phrase, given)
                continue
            written, lost = normalise(part, spell_out=spell_out)
            norm_text, dropped = norm_text + written, dropped | lost
            owned = _POSSESSIVE_END.match(written) if given else None
            if owned is not None:
                add(owned[0], self._words.owner(given)[len(given) :])
                written = written[owned.end() :]
            for token in TweetTokenizer().tokenize(written):
                add(token, (phone for phone in self._token(token) if phone != "UW"))
            given = ()
        spoken = [phone if phone in alphabet else "-" if phone == "'" else phone for phone in phones]
        if len(spoken) < _SHORTEST_PHONES and isinstance(text, str):
            spoken.insert(0, ",")
            words.insert(0, (",", 1))
        return Reading(norm_text, tuple(spoken), dropped=dropped, words=tuple(words))

    def _token(self, token: str) -> tuple[str, ...]:
        if _HAS_LETTER.search(token) is None:
            return (token,)
        return self._words.letter(token) if len(token) == 1 else self._words.phones(token)


__all__ = ["EnglishReader"]
