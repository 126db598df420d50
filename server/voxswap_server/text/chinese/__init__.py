"""The Mandarin front-end: normalises, reads word by word in pinyin, gives two phones a character.

Knows nothing of other languages. Characters of several readings follow g2pW where it is there, else pypinyin's phrases.
"""

import re
from collections.abc import Callable
from contextlib import AbstractContextManager, ExitStack, nullcontext

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
        polyphones: gives what settles characters of several readings for as long as its block lasts, None where there
            is none; raises `AssetMissing` where there should be, and then the text is read without it, which is told.
    """

    def __init__(self, polyphones: Callable[[], AbstractContextManager[Polyphones | None]] = nullcontext) -> None:
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
        with ExitStack() as held:
            syllables, notices = self._syllables(normal.text, held)
        said = [normal.given.get(place, _phones(syllable)) for place, syllable in enumerate(syllables)]
        phones = [phone for unit in said for phone in unit]
        if pause:
            phones = [_PAUSES[pause] if phone == "," else phone for phone in phones]
        counts = tuple(map(len, said))
        return Reading(normal.text, tuple(phones), counts, normal.dropped, notices=notices)

    def _syllables(self, text: str, held: ExitStack) -> tuple[list[Syllable], tuple[Notice, ...]]:
        """One for each character, and what is told of it; `held` keeps what was asked until they are there."""
        polyphones: Polyphones | None = None
        notices: tuple[Notice, ...] = ()
        try:
            polyphones = held.enter_context(self._polyphones())
        except AssetMissing as missing:
            told = f"Chinese characters of several readings follow the words they are in: {missing.lasting_message}"
            notices = (Notice(missing.reason, told),)
        sentences = filter(str.strip, _AFTER_MARK.split(text))
        read = self._words.get().syllables
        return [syllable for sentence in sentences for syllable in read(sentence, polyphones)], notices


def _phones(syllable: Syllable) -> tuple[str, ...]:
    if syllable.initial == syllable.final:
        return (syllable.initial,)
    return pinyin.phones(syllable.initial, syllable.final)


__all__ = ["ChineseReader"]
