"""The Mandarin front-end: normalises, reads word by word in pinyin, gives two phones a character.

Knows nothing of other languages. Characters of several readings follow g2pW where it is there, else pypinyin's phrases.
"""

import re
from collections.abc import Callable

from voxswap_server.domain import Notice
from voxswap_server.errors import AssetMissing
from voxswap_server.text.chinese import pinyin
from voxswap_server.text.chinese.normalise import SpokenChinese
from voxswap_server.text.chinese.words import Polyphones, Syllable, WordReader
from voxswap_server.text.lazy import Lazy
from voxswap_server.text.reading import Reading, Text, parts_of

_AFTER_MARK = re.compile(r"(?<=[!?…,.\-])\s*")
_PAUSES = {"￥": "SP2", "^": "SP3"}
"""A text with one of these marks has every comma read as this pause."""


class ChineseReader:
    """Reads Mandarin. Resources load at the first text, once; any thread may call it.

    Args:
        polyphones: gives what settles characters of several readings, None where there is none; raises `AssetMissing`
            where there should be, and then the text is read without it, which is told.
    """

    def __init__(self, polyphones: Callable[[], Polyphones | None] = lambda: None) -> None:
        self._rules = Lazy(SpokenChinese)
        self._words = Lazy(WordReader)
        self._polyphones = polyphones

    def read(self, text: Text, symbols: str, *, spell_out: bool = True) -> Reading:  # noqa: ARG002  # both alphabets hold the same Mandarin phones
        parts = parts_of(text)
        written = "".join(part for part in parts if isinstance(part, str))
        pause = next((mark for mark in _PAUSES if mark in written), "")
        if pause:
            parts = tuple(part.replace(pause, ",") if isinstance(part, str) else part for part in parts)
        normal = self._rules.get().normalise_parts(parts, spell_out=spell_out)
        polyphones, notices = self._settler()
        phones: list[str] = []
        counts: list[int] = []
        for sentence in filter(str.strip, _AFTER_MARK.split(normal.text)):
            for syllable in self._words.get().syllables(sentence, polyphones):
                said = normal.given.get(len(counts), _phones(syllable))
                phones.extend(said)
                counts.append(len(said))
        if pause:
            phones = [_PAUSES[pause] if phone == "," else phone for phone in phones]
        return Reading(normal.text, tuple(phones), tuple(counts), normal.dropped, notices=notices)

    def _settler(self) -> tuple[Polyphones | None, tuple[Notice, ...]]:
        try:
            return self._polyphones(), ()
        except AssetMissing as missing:
            told = f"Chinese characters of several readings follow the words they are in: {missing.message}"
            return None, (Notice(missing.reason, told),)


def _phones(syllable: Syllable) -> tuple[str, ...]:
    if syllable.initial == syllable.final:
        return (syllable.initial,)
    return pinyin.phones(syllable.initial, syllable.final)


__all__ = ["ChineseReader"]
