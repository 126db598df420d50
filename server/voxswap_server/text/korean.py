"""The Korean front-end: the standard pronunciation's sound changes, then single letters of Hangul.

Knows nothing of other languages. The sound changes are the rule modules of `g2pk2` (Apache-2.0) over python-mecab-ko's
morphemes. The package g2pk2 itself tries to download an English dictionary when it is imported, so only its rule
modules are, below a stand-in for the package.
"""

import re
import sys
from collections.abc import Callable
from importlib import import_module
from importlib.machinery import PathFinder
from pathlib import Path
from threading import Lock
from types import ModuleType
from typing import Any

import mecab
from jamo import h2j, j2hcj

from voxswap_server.text.lazy import Lazy
from voxswap_server.text.reading import Reading, Spoken, Text, meaningful, parts_of
from voxswap_server.text.symbols import SYMBOLS

_PACKAGE = "g2pk2"
_SPECIAL_RULES = (
    "jyeo ye consonant_ui josa_ui vowel_ui jamo rieulgiyeok rieulbieub verb_nieun balb palatalize modifying_rieul"
)
_LINK_RULES = "link1 link2 link3 link4"
"""Names of the rules in the order in which they apply."""

_LETTERS = "a b c d e f g h i j k l m n o p q r s t u v w x y z"
_LETTER_NAMES = (
    "에이 비 시 디 이 에프 지 에이치 아이 제이 케이 엘 엠 엔 오 피 큐 아르 에스 티 유 브이 더블유 엑스 와이 제트"
)
_SPELT = {
    ord(written): name
    for letter, name in zip(_LETTERS.split(), _LETTER_NAMES.split(), strict=True)
    for written in (letter, letter.upper())
}
_CLUSTERS = "ㄳㄱㅅ ㄵㄴㅈ ㄶㄴㅎ ㄺㄹㄱ ㄻㄹㅁ ㄼㄹㅂ ㄽㄹㅅ ㄾㄹㅌ ㄿㄹㅍ ㅀㄹㅎ ㅄㅂㅅ"
_DIPHTHONGS = "ㅘㅗㅏ ㅙㅗㅐ ㅚㅗㅣ ㅝㅜㅓ ㅞㅜㅔ ㅟㅜㅣ ㅢㅡㅣ ㅑㅣㅏ ㅒㅣㅐ ㅕㅣㅓ ㅖㅣㅔ ㅛㅣㅗ ㅠㅣㅜ"
_PARTS = {ord(letters[0]): letters[1:] for letters in f"{_CLUSTERS} {_DIPHTHONGS}".split()}
"""Compound letter → its two parts."""

_OLD_LETTER = re.compile("[\ua960-\ua97f\ud7b0-\ud7ff]")
"""Letters of Middle Korean, which the libraries refuse."""
_SIDE_BY_SIDE = re.compile("([ㅇㄹ]ㅡㄹ) ㄹ")
_LAST_LETTER = re.compile("([\u3131-\u3163])$")
_MARKS = str.maketrans("：；，。！？\n·、 ", ",,,.!?.,,空")
_OTHER_MARK = "停"


class _Rules:
    """The rule modules of g2pk2, applied in its order."""

    def __init__(self) -> None:
        special, regular, utils, numerals = (
            import_module(f"{_stand_in().__name__}.{name}") for name in ("special", "regular", "utils", "numerals")
        )
        self._special: list[Callable[..., str]] = [getattr(special, name) for name in _SPECIAL_RULES.split()]
        self._links: list[Callable[..., str]] = [getattr(regular, name) for name in _LINK_RULES.split()]
        self._table = [(re.compile(sounds), spoken) for sounds, spoken, _ in utils.parse_table()]
        self._idioms = _idioms(Path(str(utils.__file__)).with_name("idioms.txt"))
        self._utils: Any = utils
        self._numerals: Any = numerals
        self._morphemes = mecab.MeCab()
        self._one_at_a_time = Lock()

    def pronounce(self, text: str, *, spell_out: bool = True) -> str:
        """Spells Hangul as it sounds; digits become words if they are spelt out."""
        for written, spoken in self._idioms:
            text = written.sub(spoken, text)
        with self._one_at_a_time:  # a MeCab tagger keeps the sentence it works on
            text = self._utils.annotate(text, self._morphemes)
        sounds = h2j(self._numerals.convert_num(text) if spell_out else text)
        for rule in self._special:
            sounds = rule(sounds, False, False)
        sounds = re.sub("/[PJEB]", "", sounds)
        for pattern, spoken in self._table:
            sounds = pattern.sub(spoken, sounds)
        for rule in self._links:
            sounds = rule(sounds, False, False)
        return str(self._utils.compose(sounds))


def _idioms(file: Path) -> list[tuple[re.Pattern[str], str]]:
    """Pairs of the package's list of words that are not read as written; "#" starts a comment."""
    lines = (line.split("#")[0].strip() for line in file.read_text("utf-8").splitlines())
    pairs = (line.split("===") for line in lines if "===" in line)
    return [(re.compile(written), spoken) for written, spoken in pairs]


def _stand_in() -> ModuleType:
    """A package object that finds g2pk2's modules without running its `__init__`."""
    known = sys.modules.get(_PACKAGE)
    if known is not None:
        return known
    spec = PathFinder.find_spec(_PACKAGE)
    if spec is None:
        raise ModuleNotFoundError("the package g2pk2, which holds the rules of Korean sounds, is not installed")
    stand_in = ModuleType(_PACKAGE, "Stand-in: g2pk2 without its downloads.")
    stand_in.__path__ = list(spec.submodule_search_locations or [])
    sys.modules[_PACKAGE] = stand_in
    return stand_in


class KoreanReader:
    """Reads Korean. Resources load at the first text, once; any thread may call it."""

    def __init__(self) -> None:
        self._rules = Lazy(_Rules)

    def read(self, text: Text, symbols: str, *, spell_out: bool = True) -> Reading:
        alphabet, parts = SYMBOLS[symbols], parts_of(text)
        unread = ""
        phones: list[str] = []
        for place, part in enumerate(parts, 1):
            if isinstance(part, Spoken):
                phones.extend(part.phones)
                continue
            letters = self._letters(part, spell_out=spell_out)
            if place == len(parts):
                letters = _LAST_LETTER.sub(r"\1.", letters)
            letters = letters.translate(_MARKS)
            unread += "".join(_OLD_LETTER.findall(part))
            unread += "".join(letter for letter in letters if letter not in alphabet)
            phones.extend(letter if letter in alphabet else _OTHER_MARK for letter in letters)
        if phones and isinstance(parts[-1], Spoken) and _LAST_LETTER.fullmatch(phones[-1]):
            phones.append(".")
        norm_text = "".join(part if isinstance(part, str) else part.phrase for part in parts)
        return Reading(norm_text, tuple(phones), dropped=meaningful(unread))

    def _letters(self, text: str, *, spell_out: bool) -> str:
        sounds = self._rules.get().pronounce(_OLD_LETTER.sub("", text).translate(_SPELT), spell_out=spell_out)
        return _SIDE_BY_SIDE.sub(r"\1 ㄴ", j2hcj(h2j(sounds)).translate(_PARTS))


__all__ = ["KoreanReader"]
