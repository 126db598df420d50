"""Writes a Chinese text as it is spoken: numbers in characters, marks reduced to those the model knows.

Knows nothing of pinyin. Mandarin and Cantonese share the numbers and differ in their marks.
"""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Final

from misaki.zh_normalization import constants
from misaki.zh_normalization.char_convert import tranditional_to_simplified

from voxswap_server.text.chinese.quantities import RULES
from voxswap_server.text.reading import Spoken, meaningful

_MARKS: Final = str.maketrans("：；，。！？\n·、$", ",,,.!?.,,.")
_SILENT = re.compile(r"[ —《》【】<>{}()（）#&@“”^_|\\]")
_SILENT_AFTERWARDS = re.compile(r"[-—《》【】<=>{}()（）#&@“”^_|\\]")
"""Once the numbers are written, and signs with them."""
_UNREADABLE = re.compile(r"[^\u4e00-\u9fa5!?…,.\-]+")
_NOT_CHINESE = re.compile(r"[^\u4e00-\u9fa5]+")
_REPEATED_MARK = re.compile(r"([!?…,.\-])[!?…,.\-]+")
_SENTENCE = re.compile(r"(?<=[：、，；。？！,;?!])(?![”’])|(?<=[：、，；。？！,;?!][”’])|\n+")

_GREEK = (
    "αβγδεζηθικλμνξοπρςστυφχψω",
    "阿尔法,贝塔,伽玛,德尔塔,艾普西龙,捷塔,依塔,西塔,艾欧塔,喀帕,拉姆达,缪,拗,克西,欧米克伦,派,肉,西格玛,西格玛,套,宇普西龙,服艾,器,普赛,欧米伽",
)
"""Letters and their names in Mandarin."""
_CAPITALS = "ΓΔΘΛΞΠΣΦΨΩ"
"""Those that are read; the others look like Latin ones."""
_NAMES = dict(zip(_GREEK[0], _GREEK[1].split(","), strict=True))
_SAID: Final = str.maketrans(
    dict(zip("①②③④⑤⑥⑦⑧⑨⑩/+-×÷=", "一二三四五六七八九十每加减乘除等", strict=True))
    | _NAMES
    | {capital: _NAMES[capital.lower()] for capital in _CAPITALS}
)
"""What is read of a symbol that no number has taken."""
_HALF_WIDTH: Final = constants.F2H_ASCII_LETTERS | constants.F2H_DIGITS | constants.F2H_SPACE


@dataclass(frozen=True, slots=True)
class Style:
    """What a language does with the marks of a text."""

    waves: str
    """What a wave is read as."""
    same_sound: Mapping[int, int]
    """Characters that are read as others."""
    repeats: bool
    """Whether marks in a row stay."""


MANDARIN: Final = Style("…", str.maketrans("嗯呣", "恩母"), repeats=False)
CANTONESE: Final = Style("-", {}, repeats=True)


@dataclass(frozen=True, slots=True)
class NormalParts:
    """A normalised text of which some characters have their phones already."""

    text: str
    given: Mapping[int, tuple[str, ...]]
    """Place in `text` → phones."""
    dropped: frozenset[str]


class SpokenChinese:
    """The rules of one language. Keeps no state between calls."""

    def __init__(self, style: Style = MANDARIN) -> None:
        self._style = style
        self._waves = str.maketrans("~～", style.waves * 2)

    def normalise(self, text: str, *, spell_out: bool = True) -> tuple[str, frozenset[str]]:
        """Returns the text in Chinese characters and `! ? … , . -`, and the meaningful characters that it lost."""
        write = _written if spell_out else tranditional_to_simplified
        spoken = "".join(write(sentence.strip()) for sentence in _SENTENCE.split(_SILENT.sub("", text).strip()))
        spoken = spoken.replace("...", "…").translate(self._style.same_sound).translate(_MARKS).translate(self._waves)
        dropped = meaningful("".join(_UNREADABLE.findall(spoken)))
        spoken = _UNREADABLE.sub("", spoken)
        return spoken if self._style.repeats else _REPEATED_MARK.sub(r"\1", spoken), dropped

    def normalise_parts(self, parts: Iterable[str | Spoken], *, spell_out: bool = True) -> NormalParts:
        """The same of a text with given phrases in it. A phrase has at least one Chinese character."""
        norm_text, dropped = "", frozenset[str]()
        given: dict[int, tuple[str, ...]] = {}
        for part in parts:
            if isinstance(part, Spoken):
                written = _NOT_CHINESE.sub("", tranditional_to_simplified(part.phrase))
                given.update(enumerate(part.shared_out(len(written)), len(norm_text)))
            else:
                written, lost = self.normalise(part, spell_out=spell_out)
                dropped |= lost
            norm_text += written
        return NormalParts(norm_text, given, dropped)


def _written(sentence: str) -> str:
    sentence = tranditional_to_simplified(sentence).translate(_HALF_WIDTH)
    for rule in RULES:
        sentence = rule(sentence)
    return _SILENT_AFTERWARDS.sub("", sentence.translate(_SAID))
