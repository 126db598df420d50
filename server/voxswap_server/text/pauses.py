"""Marks of silence in a text: `[pause:500ms]`, `[pause:1.5s]`.

Knows nothing of languages, cuts or samples. A pause is a whole number of milliseconds, so that at every rate of a
voice it is a whole number of samples.
"""

import re
from dataclasses import dataclass
from typing import Final

from voxswap_server.errors import RequestError

LONGEST_MS: Final = 10_000
"""Of one mark."""
LONGEST_TOGETHER_MS: Final = 600_000
"""Of all marks of a text."""

_MARK = re.compile(r"\[pause\s*[:\]][^\[\]\n]*\]?", re.IGNORECASE)
"""Whatever begins like a mark is meant as one: read aloud, it would be a surprise."""
_WELL_FORMED = re.compile(r"\[pause\s*:\s*([0-9]{1,6})(?:\.([0-9]{1,6}))?\s*(ms|s)\s*\]", re.IGNORECASE)
_MS_DIGITS = {"s": 3, "ms": 0}
"""Decimal places that a unit may have down to a whole millisecond."""
_SHOWN_CHARACTERS = 40


@dataclass(frozen=True, slots=True)
class Pause:
    """Silence of an exact length."""

    ms: int


def split(text: str) -> tuple[str | Pause, ...]:
    """A text at its marks: what is to be spoken and the pauses, in order; no piece of text is empty.

    Raises:
        RequestError: a mark is not closed, not of the two forms, or too long. The message shows the mark.
    """
    parts: list[str | Pause] = []
    end = 0
    for mark in _MARK.finditer(text):
        parts += [text[end : mark.start()], _pause(mark[0])]
        end = mark.end()
    parts.append(text[end:])
    together_ms = sum(part.ms for part in parts if isinstance(part, Pause))
    if together_ms > LONGEST_TOGETHER_MS:
        raise RequestError(
            f"the pauses of the text are {together_ms / 1000:g} s together; "
            f"at most {LONGEST_TOGETHER_MS // 1000} s are spoken",
            field="text",
        )
    return tuple(part for part in parts if part != "")


def _pause(mark: str) -> Pause:
    match = _WELL_FORMED.fullmatch(mark)
    if match is None:
        raise _refused(mark, "is not of the form [pause:500ms] or [pause:1.5s]")
    whole, fraction, unit = match[1], (match[2] or "").rstrip("0"), match[3].lower()
    places = _MS_DIGITS[unit]
    if len(fraction) > places:
        raise _refused(mark, "is not a whole number of milliseconds")
    ms = int(whole + fraction.ljust(places, "0"))
    if ms > LONGEST_MS:
        raise _refused(mark, f"is longer than {LONGEST_MS // 1000} s")
    return Pause(ms)


def _refused(mark: str, what: str) -> RequestError:
    return RequestError(f"the mark {mark[:_SHOWN_CHARACTERS]!r} {what}", field="text")
