"""Writes numbers as Mandarin says them: amounts, ranges, times, temperatures, measures, sums, powers.

Knows nothing of marks or of pinyin. Where the package `misaki` has PaddleSpeech's pattern (Apache-2.0) it is used; what
is said for it, and the patterns that the package lacks, are those of the text that the models learnt from.
"""

import re
from collections.abc import Callable, Mapping
from typing import Final

from misaki.zh_normalization import chronology, num, phonecode, quantifier

Rule = Callable[[str], str]

_AMOUNT: Final = r"-?\d+(?:\.\d+)?"
_UNITS: Final = r"(?:%|°C|℃|度|摄氏度|cm2|cm²|cm3|cm³|cm|db|ds|kg|km|m2|m²|m³|m3|ml|m|mm|s)"
_POWER: Final = "⁰¹²³⁴⁵⁶⁷⁸⁹ˣʸⁿ"
_OPERATORS: Final[Mapping[str, str]] = {"+": "加", "-": "减", "×": "乘", "÷": "除", "=": "等于"}

_MEASURES: Final[Mapping[str, str]] = {
    unit: name for unit, name in quantifier.measure_dict.items() if unit not in {"h", "mg"}
}
"""Units that are replaced wherever they stand, in this order. The models' text knows no hours and milligrams."""
_COUNTED_BY: Final = (
    "处|台|架|枚|趟|幅|平|方|堵|间|床|株|批|项|例|列|篇|栋|注|亩|"
    + num.COM_QUANTIFIERS.removeprefix("(").partition("|(公(里")[0]
)
"""Measure words: two before one of them is 两, and long numbers are amounts there, not digits."""


def cardinal(digits: str) -> str:
    """A number of any length, with or without decimals: "105" is 一百零五, ".5" is 零点五, "3.20" is 三点二零."""
    whole, _, decimals = digits.partition(".")
    said: str = num.verbalize_cardinal(whole)
    decimals = decimals.rstrip("0") + ("0" if decimals.endswith("0") else "")
    return f"{said or '零'}点{num.verbalize_digit(decimals)}" if decimals else said


def _signed(amount: str, below_zero: str = "负") -> str:
    return below_zero + cardinal(amount[1:]) if amount.startswith("-") else cardinal(amount)


def _counted(match: re.Match[str]) -> str:
    number = cardinal(match[1])
    return f"{'两' if number == '二' else number}{'多' if match[2] == '+' else match[2] or ''}{match[3]}"


def _minutes(minutes: str, *, half: bool, unit: str) -> str:
    if not minutes.lstrip("0"):
        return ""
    zero = "零" if minutes.startswith("0") else ""
    return "半" if half else f"{zero}{cardinal(minutes.lstrip('0'))}{unit}"


def _time(match: re.Match[str]) -> str:
    """A time, or a range of two; the second one's half hour is told by the first one's minutes, as the models heard."""
    hour, minute, _, second, *rest = match.groups()
    half = minute == "30"
    said = f"{cardinal(hour)}点{_minutes(minute, half=half, unit='分')}{_minutes(second or '', half=False, unit='秒')}"
    if rest:
        _, hour, minute, _, second = rest
        ends = _minutes(minute, half=half, unit="分") + _minutes(second or "", half=False, unit="秒")
        said += f"至{cardinal(hour)}点{ends}"
    return said


def _temperature(match: re.Match[str]) -> str:
    return f"{'零下' if match[1] else ''}{cardinal(match[2])}度"


def _measured(sentence: str) -> str:
    for unit, name in _MEASURES.items():
        sentence = sentence.replace(unit, name)
    return sentence


def _fraction(match: re.Match[str]) -> str:
    sign, above, below = match.groups()
    return f"{'负' if sign else ''}{cardinal(below)}分之{cardinal(above)}"


def _to(pattern: str | re.Pattern[str], say: Callable[[re.Match[str]], str]) -> Rule:
    compiled = re.compile(pattern)
    return lambda sentence: compiled.sub(say, sentence)


RULES: Final[tuple[Rule, ...]] = (
    _to(chronology.RE_DATE, chronology.replace_date),
    _to(chronology.RE_DATE2, chronology.replace_date2),
    _to(chronology.RE_TIME_RANGE, _time),
    _to(chronology.RE_TIME, _time),
    _to(rf"(?:{_AMOUNT}|\.\d+){_UNITS}~(?:{_AMOUNT}|\.\d+){_UNITS}", lambda match: match[0].replace("~", "至")),
    _to(quantifier.RE_TEMPERATURE, _temperature),
    _measured,
    _to(
        rf"([0-9A-Za-z][{_POWER}]*)([+\-×÷=])(?=-?\d|\.\d|[A-Za-z])",
        lambda match: match[1] + _OPERATORS[match[2]],
    ),
    _to(f"[{_POWER}]+", lambda match: f"的{match[0].translate(str.maketrans(_POWER, '0123456789xyn'))}次方"),
    _to(num.RE_FRAC, _fraction),
    _to(num.RE_PERCENTAGE, lambda match: f"{'负' if match[1] else ''}百分之{cardinal(match[2])}"),
    _to(phonecode.RE_MOBILE_PHONE, phonecode.replace_mobile),
    _to(phonecode.RE_TELEPHONE, phonecode.replace_phone),
    _to(phonecode.RE_NATIONAL_UNIFORM_NUMBER, phonecode.replace_phone),
    _to(
        rf"(?<![\d+\-×÷=])({_AMOUNT})[-~]({_AMOUNT})(?![\d+\-×÷=])",
        lambda match: f"{_signed(match[1])}到{_signed(match[2])}",
    ),
    _to(r"-(\d+)", lambda match: f"负{cardinal(match[1])}"),
    _to(r"\d+(?:\.\d+){2,}", lambda match: "点".join(num.verbalize_digit(part) for part in match[0].split("."))),
    _to(r"-?\d+\.\d+|\.\d+", lambda match: _signed(match[0])),
    _to(rf"(\d+)([多余几+])?({_COUNTED_BY})", _counted),
    _to(r"\d{3,}", lambda match: num.verbalize_digit(match[0], alt_one=True)),
    _to(rf"{_AMOUNT}|\.\d+", lambda match: _signed(match[0])),
)
"""In the order that the models' text went through."""
