"""Reads the numbers of an English text: sums, money, times, measures, fractions, ordinals, years.

Knows nothing of letters or phones. Each rule is a row of `_RULES`, applied in order over the whole text; a rule may
leave digits for the rules below it.
"""

import re
from collections.abc import Callable
from typing import Final

from voxswap_server.text.english.number_words import LONGEST_DIGITS, cardinal, ordinal

_UNITS: Final = {
    "m": ("meter", "meters"),
    "km": ("kilometer", "kilometers"),
    "ft": ("feet", "feet"),
    "L": ("liter", "liters"),
    "tbsp": ("tablespoon", "tablespoons"),
    "tsp": ("teaspoon", "teaspoons"),
    "h": ("hour", "hours"),
    "min": ("minute", "minutes"),
    "s": ("second", "seconds"),
    "°C": ("degree celsius", "degrees celsius"),
    "°F": ("degree fahrenheit", "degrees fahrenheit"),
}
_UNIT_NAMES = "|".join(map(re.escape, _UNITS))
_NUMBER = rf"[0-9]{{1,{LONGEST_DIGITS}}}"
_POWERS = "⁰¹²³⁴⁵⁶⁷⁸⁹ˣʸⁿ"
_OPERATORS: Final = {"+": "plus", "-": "minus", "×": "times", "÷": "divided by", "=": "Equals"}
_POUNDS = ("pound", "pounds", "penny", "pence")
_DOLLARS = ("dollar", "dollars", "cent", "cents")
_AND: Final = "and"
"""Fractions and ordinals have it ("one hundred and third"), other numbers do not."""


def read_number(digits: str) -> str:
    """A whole number; between 1000 and 3000 it is read as a year."""
    if len(digits) > LONGEST_DIGITS:
        return " ".join(cardinal(int(digit)) for digit in digits)
    number = int(digits)
    if not 1000 < number < 3000 or number == 2000:
        return cardinal(number)
    century, year = divmod(number, 100)
    if century == 20 and year < 10:
        return f"two thousand {cardinal(year)}"
    if year == 0:
        return f"{cardinal(century)} hundred"
    return f"{cardinal(century)} {cardinal(year) if year > 9 else f'oh {cardinal(year)}'}"


def _list_number(match: re.Match[str]) -> str:
    """A number with a full stop is a place in a row, for the rules below to say."""
    number = match[1]
    ending = "th" if number[-2:-1] == "1" else {"1": "st", "2": "nd", "3": "rd"}.get(number[-1], "th")
    return f"{number}{ending}, "


def _time(match: re.Match[str]) -> str:
    hour, minute = int(match[1]), int(match[2])
    half = "a.m." if hour < 12 else "p.m."
    minutes = cardinal(minute) if minute else "o'clock"
    return f"{cardinal(hour - 12 if hour > 12 else hour)} {minutes} {half}"


def _measure(match: re.Match[str]) -> str:
    one, many = _UNITS[match[2]]
    return f"{match[1]} {one if match[1].lstrip('0') == '1' else many}"


def _money(match: re.Match[str], names: tuple[str, str, str, str]) -> str:
    amount = match[1] or match[2]
    parts = amount.split(".")
    if len(parts) > 2 or max(map(len, parts)) > LONGEST_DIGITS:
        return f"{amount} {names[1]}"
    whole = int(parts[0] or 0)
    part = int(parts[1].ljust(2, "0")) if len(parts) == 2 else 0
    big = f"{whole} {names[0] if whole == 1 else names[1]}"
    small = f"{part} {names[2] if part == 1 else names[3]}"
    if whole and part:
        return f"{big} and {small}"
    if part:
        return small
    return big if whole else f"zero {names[1]}"


def _fraction(match: re.Match[str]) -> str:
    above, below = int(match[1]), int(match[2])
    if below == 1:
        return cardinal(above, _AND)
    if below == 2:
        return f"{cardinal(above, _AND)} {'half' if above == 1 else 'halves'}"
    return f"{cardinal(above, _AND)} {ordinal(below, _AND)}{'s' if above > 1 else ''}"


def _decimals(match: re.Match[str]) -> str:
    return f"{match[1]} point {' '.join(match[2])}"


_RULES: Final[tuple[tuple[re.Pattern[str], Callable[[re.Match[str]], str]], ...]] = tuple(
    (re.compile(pattern), say)
    for pattern, say in (
        (rf"\b({_NUMBER})\. ", _list_number),
        (
            rf"([0-9A-Za-z][{_POWERS}]*)\s+([+\-×÷=])\s+(?=-?[0-9]|\.[0-9]|[A-Za-z])",
            lambda match: f"{match[1]} {_OPERATORS[match[2]]} ",
        ),
        (r"(?:^|\s+)-(?=[0-9])", lambda _: "negative "),
        (r"[0-9][0-9,]+[0-9]", lambda match: match[0].replace(",", "")),
        (r"\b([01]?[0-9]|2[0-3]):([0-5][0-9])\b", _time),
        (rf"\b([0-9]+(?:\.[0-9]+)?)({_UNIT_NAMES})\b", _measure),
        (r"£([0-9.]*[0-9])", lambda match: _money(match, _POUNDS)),
        (r"([0-9.]*[0-9])£", lambda match: _money(match, _POUNDS)),
        (r"\$([0-9.]*[0-9])", lambda match: _money(match, _DOLLARS)),
        (r"([0-9.]*[0-9])\$", lambda match: _money(match, _DOLLARS)),
        (r"([0-9]+)\.(\s*[0-9]+)", _decimals),
        (rf"({_NUMBER})/({_NUMBER})", _fraction),
        (rf"({_NUMBER})(?:st|nd|rd|th)", lambda match: ordinal(int(match[1]), _AND)),
        (r"[0-9]+", lambda match: read_number(match[0])),
    )
)


def spell_out(text: str) -> str:
    """The text with every run of ASCII digits written out."""
    for pattern, say in _RULES:
        text = pattern.sub(say, text)
    return text
