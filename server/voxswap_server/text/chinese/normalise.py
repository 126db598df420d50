"""Writes a Chinese text as it is spoken: numbers, dates, units in characters, marks reduced to those the model knows.

Knows nothing of pinyin. Each rule is PaddleSpeech's, as the package `misaki` keeps them (Apache-2.0); their order, and
the rules that the package lacks (sums, powers, version numbers), are those of the text that the models learnt from.
"""

import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Final

from misaki.zh_normalization import TextNormalizer, chronology, constants, num, phonecode, quantifier
from misaki.zh_normalization.char_convert import tranditional_to_simplified

from voxswap_server.text.reading import Spoken, meaningful

_MARKS: Final = str.maketrans("：；，。！？\n·、$/—~～", ",,,.!?.,,.,-……")
_SAME_SOUND: Final = str.maketrans("嗯呣", "恩母")
_TRAILING_OFF = "\ue000"
"""Stands for an ellipsis while the rules run, which would drop it; a wave between numbers is theirs to read."""
_ELLIPSIS = re.compile(r"…|(?<![0-9])[~～]|[~～](?![0-9])")
_SILENT = re.compile(r"[ —《》【】<>{}()（）#&@“”^_|\\]")
_UNREADABLE = re.compile(r"[^\u4e00-\u9fa5!?…,.\-]+")
_NOT_CHINESE = re.compile(r"[^\u4e00-\u9fa5]+")
_REPEATED_MARK = re.compile(r"([!?…,.\-])[!?…,.\-]+")

_POWERS: Final = str.maketrans("⁰¹²³⁴⁵⁶⁷⁸⁹ˣʸⁿ", "0123456789xyn")
_OPERATORS: Final = {"+": "加", "-": "减", "×": "乘", "÷": "除", "=": "等于"}
_OPERATOR = re.compile(r"(?<=[0-9A-Za-z⁰¹²³⁴⁵⁶⁷⁸⁹ˣʸⁿ])[+\-×÷=](?=-?[.0-9A-Za-z])")

Rule = Callable[[str], str]


def _rule(pattern: re.Pattern[str], write: Callable[[re.Match[str]], str]) -> Rule:
    return lambda sentence: pattern.sub(write, sentence)


def _power(match: re.Match[str]) -> str:
    digits = match[0].translate(_POWERS)
    return f"的{num.num2str(digits) if digits.isdigit() else digits}次方"


def _version(match: re.Match[str]) -> str:
    return "点".join(num.verbalize_digit(part) for part in match[0].split("."))


def _counted(match: re.Match[str]) -> str:
    """A number before a measure word; two of something are 两."""
    number = num.num2str(match[1])
    return f"{'两' if number == '二' else number}{'多' if match[2] == '+' else match[2] or ''}{match[3]}"


_RULES: Final[tuple[Rule, ...]] = (
    tranditional_to_simplified,
    lambda sentence: sentence.translate(constants.F2H_ASCII_LETTERS).translate(constants.F2H_DIGITS),
    _rule(chronology.RE_DATE, chronology.replace_date),
    _rule(chronology.RE_DATE2, chronology.replace_date2),
    _rule(chronology.RE_TIME_RANGE, chronology.replace_time),
    _rule(chronology.RE_TIME, chronology.replace_time),
    _rule(re.compile(r"(?<=\d)[~～](?=\d)"), lambda _: "至"),
    _rule(quantifier.RE_TEMPERATURE, quantifier.replace_temperature),
    quantifier.replace_measure,
    _rule(_OPERATOR, lambda match: _OPERATORS[match[0]]),
    _rule(re.compile(r"[⁰¹²³⁴⁵⁶⁷⁸⁹ˣʸⁿ]+"), _power),
    _rule(num.RE_FRAC, num.replace_frac),
    _rule(num.RE_PERCENTAGE, num.replace_percentage),
    _rule(phonecode.RE_MOBILE_PHONE, phonecode.replace_mobile),
    _rule(phonecode.RE_TELEPHONE, phonecode.replace_phone),
    _rule(phonecode.RE_NATIONAL_UNIFORM_NUMBER, phonecode.replace_phone),
    _rule(num.RE_RANGE, num.replace_range),
    _rule(num.RE_INTEGER, num.replace_negative_num),
    _rule(re.compile(r"\d+(?:\.\d+){2,}"), _version),
    _rule(num.RE_DECIMAL_NUM, num.replace_number),
    _rule(num.RE_POSITIVE_QUANTIFIERS, _counted),
    _rule(num.RE_DEFAULT_NUM, num.replace_default_num),
    _rule(num.RE_NUMBER, num.replace_number),
)
"""In the order that the models' text went through."""


@dataclass(frozen=True, slots=True)
class NormalParts:
    """A normalised text of which some characters have their phones already."""

    text: str
    given: Mapping[int, tuple[str, ...]]
    """Place in `text` → phones."""
    dropped: frozenset[str]


class SpokenChinese(TextNormalizer):  # type: ignore[misc]  # the package ships no types
    """The rules in our order. Keeps no state between calls."""

    def normalize_sentence(self, sentence: str) -> str:
        for rule in _RULES:
            sentence = rule(sentence)
        return str(self._post_replace(sentence))

    def normalise(self, text: str, *, spell_out: bool = True) -> tuple[str, frozenset[str]]:
        """Returns the text in Chinese characters and `! ? … , . -`, and the meaningful characters that it lost."""
        kept = _SILENT.sub("", _ELLIPSIS.sub(_TRAILING_OFF, text.replace(_TRAILING_OFF, "")))
        sentences = self.SENTENCE_SPLITOR.sub(r"\1\n", kept).split("\n")
        write = self.normalize_sentence if spell_out else tranditional_to_simplified
        spoken = "".join(write(sentence.strip()) for sentence in sentences)
        spoken = spoken.replace(_TRAILING_OFF, "…").replace("...", "…").translate(_SAME_SOUND).translate(_MARKS)
        dropped = meaningful("".join(_UNREADABLE.findall(spoken)))
        return _REPEATED_MARK.sub(r"\1", _UNREADABLE.sub("", spoken)), dropped

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
