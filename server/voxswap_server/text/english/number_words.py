"""Whole numbers in English words, as the library `inflect` says them, which takes seconds to import.

Knows nothing of texts.
"""

from typing import Final

LONGEST_DIGITS: Final = 36
"""Names go up to decillions."""

_BELOW_TWENTY = (
    *("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten", "eleven", "twelve"),
    *("thirteen", "fourteen", "fifteen", "sixteen", "seventeen", "eighteen", "nineteen"),
)
_TENS = ("", "", "twenty", "thirty", "forty", "fifty", "sixty", "seventy", "eighty", "ninety")
_THOUSANDS = (
    *("", "thousand", "million", "billion", "trillion", "quadrillion", "quintillion", "sextillion", "septillion"),
    *("octillion", "nonillion", "decillion"),
)
_ORDINALS = {
    "one": "first",
    "two": "second",
    "three": "third",
    "five": "fifth",
    "eight": "eighth",
    "nine": "ninth",
    "twelve": "twelfth",
}


def cardinal(number: int, joint: str = "") -> str:
    """A number of 0 to 36 digits: 1234 is "one thousand, two hundred thirty-four".

    Args:
        number: not negative.
        joint: "and" says "two hundred and thirty-four".

    Raises:
        ValueError: it is longer, or negative.
    """
    if not 0 <= number < 10**LONGEST_DIGITS:
        raise ValueError(f"a number of {len(str(abs(number)))} digits has no name")
    if number == 0:
        return _BELOW_TWENTY[0]
    groups = []
    rest = number
    for name in _THOUSANDS:
        rest, group = divmod(rest, 1000)
        if group:
            groups.append(f"{_hundreds(group, joint)} {name}".rstrip())
    last, *above = groups
    if above and 0 < number % 1000 < 100:
        last = f"{above.pop(0)} {joint} {last}".replace("  ", " ")
    return ", ".join([*reversed(above), last])


def ordinal(number: int, joint: str = "") -> str:
    """The same as a place in a row: 23 is "twenty-third"."""
    words = cardinal(number, joint)
    start = max(words.rfind(" "), words.rfind("-")) + 1
    last = words[start:]
    if last in _ORDINALS:
        return words[:start] + _ORDINALS[last]
    return words[:-1] + "ieth" if last.endswith("y") else words + "th"


def _hundreds(number: int, joint: str) -> str:
    hundreds, rest = divmod(number, 100)
    said = [f"{_BELOW_TWENTY[hundreds]} hundred"] if hundreds else []
    if rest:
        said += [joint] if hundreds and joint else []
        tens, ones = divmod(rest, 10)
        if rest < len(_BELOW_TWENTY):
            said.append(_BELOW_TWENTY[rest])
        else:
            said.append(_TENS[tens] + (f"-{_BELOW_TWENTY[ones]}" if ones else ""))
    return " ".join(said)
