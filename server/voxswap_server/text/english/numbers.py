"""Reads the numbers of an English text: money, times, measures, fractions, ordinals, years.

Knows nothing of letters or phones. Each rule is a row of `_RULES`, applied in order over the whole text; a rule may
leave digits for the rules below it.
"""

import re
from collections.abc import Callable
from typing import Final

import inflect

from voxswap_server.text.lazy import Lazy

_UNITS: Final = {
    "m": ("meter", "meters"),
    "km": ("kilometer", "kilometers"),
    "km/h": ("kilometer per hour", "kilometers per hour"),
    "ft": ("foot", "feet"),
    "L": ("liter", "liters"),
    "tbsp": ("tablespoon", "tablespoons"),
    "tsp": ("teaspoon", "teaspoons"),
    "h": ("hour", "hours"),
    "min": ("minute", "minutes"),
    "s": ("second", "seconds"),
    "°C": ("degree celsius", "degrees celsius"),
    "°F": ("degree fahrenheit", "degrees fahrenheit"),
}
_UNIT_NAMES = "|".join(sorted(map(re.escape, _UNITS), key=len, reverse=True))

_LONGEST_NUMBER_DIGITS = 36
"""inflect names numbers up to decillions; longer ones are read digit by digit."""


class NumberReader:
    """Writes numbers as words. One instance is shared by all threads: it keeps no state between calls."""

    def __init__(self) -> None:
        self._inflect = Lazy(inflect.engine)
        rules: tuple[tuple[str, Callable[[re.Match[str]], str]], ...] = (
            (r"\b([0-9]{1,36})\. ", self._list_number),
            (r"(?:^|\s)-(?=[0-9])", lambda _: "negative "),
            (r"[0-9][0-9,]+[0-9]", lambda match: match[0].replace(",", "")),
            (r"\b([01]?[0-9]|2[0-3]):([0-5][0-9])\b", self._time),
            (rf"\b([0-9]+(?:\.[0-9]+)?)({_UNIT_NAMES})(?!\w)", self._measure),
            (r"£([0-9.]*[0-9])|([0-9.]*[0-9])£", lambda match: self._money(match, _POUNDS)),
            (r"\$([0-9.]*[0-9])|([0-9.]*[0-9])\$", lambda match: self._money(match, _DOLLARS)),
            (r"([0-9]+)\.([0-9]+)", lambda match: f"{match[1]} point {' '.join(match[2])}"),
            (r"([0-9]{1,36})/([0-9]{1,36})", self._fraction),
            (r"([0-9]{1,36})(?:st|nd|rd|th)", lambda match: self._ordinal(int(match[1]))),
            (r"[0-9]+", lambda match: self.cardinal(match[0])),
        )
        self._rules = tuple((re.compile(pattern), write) for pattern, write in rules)

    def expand(self, text: str) -> str:
        """The text with every run of ASCII digits written out."""
        for pattern, write in self._rules:
            text = pattern.sub(write, text)
        return text

    def cardinal(self, digits: str) -> str:
        """A whole number; between 1000 and 3000 it is read as a year."""
        if len(digits) > _LONGEST_NUMBER_DIGITS:
            return " ".join(self._words(int(digit)) for digit in digits)
        number = int(digits)
        if not 1000 < number < 3000:
            return self._words(number)
        century, year = divmod(number, 100)
        if number == 2000:
            return "two thousand"
        if century == 20 and year < 10:
            return f"two thousand {self._words(year)}"
        if year == 0:
            return f"{self._words(century)} hundred"
        return f"{self._words(century)} {self._words(year) if year > 9 else f'oh {self._words(year)}'}"

    def _words(self, number: int) -> str:
        return str(self._inflect.get().number_to_words(str(number), andword=""))

    def _ordinal(self, number: int) -> str:
        engine = self._inflect.get()
        return str(engine.number_to_words(engine.ordinal(str(number)), andword=""))

    def _list_number(self, match: re.Match[str]) -> str:
        return f"{self._ordinal(int(match[1]))}, "

    def _time(self, match: re.Match[str]) -> str:
        hour, minute = int(match[1]), int(match[2])
        half = "a.m." if hour < 12 else "p.m."
        spoken_hour = self._words(hour - 12 if hour > 12 else hour)
        spoken_minute = self._words(minute) if minute else "o'clock"
        return f"{spoken_hour} {spoken_minute} {half}"

    def _measure(self, match: re.Match[str]) -> str:
        one, many = _UNITS[match[2]]
        return f"{match[1]} {one if match[1] == '1' else many}"

    def _money(self, match: re.Match[str], names: tuple[str, str, str, str]) -> str:
        amount = match[1] or match[2]
        parts = amount.split(".")
        if len(parts) > 2:
            return f"{amount} {names[1]}"
        whole = int(parts[0] or 0) if len(parts[0]) <= _LONGEST_NUMBER_DIGITS else -1
        part = int(parts[1] or 0) if len(parts) == 2 and len(parts[1]) <= _LONGEST_NUMBER_DIGITS else 0
        big = f"{parts[0]} {names[0] if whole == 1 else names[1]}"
        small = f"{part} {names[2] if part == 1 else names[3]}"
        if whole and part:
            return f"{big} and {small}"
        if part:
            return small
        return big if whole else f"zero {names[1]}"

    def _fraction(self, match: re.Match[str]) -> str:
        above, below = int(match[1]), int(match[2])
        names = {2: ("half", "halves"), 4: ("quarter", "quarters")}
        one, many = names.get(below) or (self._ordinal(below), f"{self._ordinal(below)}s")
        return f"{self._words(above)} {one if above == 1 else many}"


_POUNDS = ("pound", "pounds", "penny", "pence")
_DOLLARS = ("dollar", "dollars", "cent", "cents")
