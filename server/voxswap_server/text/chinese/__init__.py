"""The Mandarin front-end: normalises, reads word by word in pinyin, gives two phones a character.

Knows nothing of other languages. Characters of several readings follow pypinyin's phrases (upstream's branch without
its g2pW network).
"""

import re

from voxswap_server.text.chinese import pinyin
from voxswap_server.text.chinese.normalise import SpokenChinese
from voxswap_server.text.chinese.words import WordReader
from voxswap_server.text.lazy import Lazy
from voxswap_server.text.reading import Reading

_AFTER_MARK = re.compile(r"(?<=[!?…,.\-])\s*")
_PAUSES = {"￥": "SP2", "^": "SP3"}
"""A text with one of these marks has every comma read as this pause."""


class ChineseReader:
    """Reads Mandarin. Resources load at the first text, once; any thread may call it."""

    def __init__(self) -> None:
        self._rules = Lazy(SpokenChinese)
        self._words = Lazy(WordReader)

    def read(self, text: str, symbols: str) -> Reading:  # noqa: ARG002  # both alphabets hold the same Mandarin phones
        pause = next((mark for mark in _PAUSES if mark in text), "")
        norm_text, dropped = self._rules.get().normalise(text.replace(pause, ",") if pause else text)
        phones: list[str] = []
        counts: list[int] = []
        for sentence in filter(str.strip, _AFTER_MARK.split(norm_text)):
            for syllable in self._words.get().syllables(sentence):
                said = (
                    (syllable.initial,)
                    if syllable.initial == syllable.final
                    else pinyin.phones(syllable.initial, syllable.final)
                )
                phones.extend(said)
                counts.append(len(said))
        if pause:
            phones = [_PAUSES[pause] if phone == "," else phone for phone in phones]
        return Reading(norm_text, tuple(phones), tuple(counts), dropped)


__all__ = ["ChineseReader"]
