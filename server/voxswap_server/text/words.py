"""Which phones the words of a text, as they are written, are spoken with.

Knows nothing of time. The front-end changes a text before it reads it (numbers become words, capitals are set apart);
what was written is found again in what is spoken by the letters that both share.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from difflib import SequenceMatcher
from itertools import groupby
from typing import Final

_UNSPACED: Final = "\u3005-\u3007\u3040-\u30ff\u3400-\u9fff\uf900-\ufaff\U00020000-\U0003ffff"
_WORD = re.compile(f"[{_UNSPACED}]|(?:(?![{_UNSPACED}])\\w)+(?:['\u2019](?:(?![{_UNSPACED}])\\w)+)*")
"""A character of a script without blanks between words, or a run of other letters and digits."""

Span = tuple[int, int]
Units = Sequence[tuple[str, int]]


@dataclass(frozen=True, slots=True)
class SpokenWord:
    text: str
    """As written."""
    start_phone: int
    end_phone: int
    """The first phone after it."""


def spoken_words(text: str, units: Units) -> list[SpokenWord]:
    """Words of a text with their phones, in order; words that are not spoken are left out.

    The phones of a unit that several words share are shared out by the words' lengths.

    Args:
        text: as it is written.
        units: pieces of what is spoken, and how many phones each has.
    """
    tokens = [match[0] for match in _WORD.finditer(text)]
    written = [(char, index) for index, token in enumerate(tokens) for char in token.casefold()]
    spoken = [(char, index) for index, (unit, _) in enumerate(units) for char in unit.casefold() if char.isalnum()]
    found: list[set[int]] = [set() for _ in tokens]
    matcher = SequenceMatcher(None, [char for char, _ in written], [char for char, _ in spoken], autojunk=False)
    for block in matcher.get_matching_blocks():
        for offset in range(block.size):
            found[written[block.a + offset][1]].add(spoken[block.b + offset][1])
    spans = _filled([(min(inside), max(inside) + 1) if inside else None for inside in found], units)
    return _shared_out(tokens, spans, units)


def _filled(spans: Sequence[Span | None], units: Units) -> list[Span | None]:
    """Words that share no letter with what is spoken (a number in digits) get what lies between their neighbours."""
    filled = list(spans)
    for missing, group in groupby(range(len(spans)), lambda index: spans[index] is None):
        if not missing:
            continue
        gap = list(group)
        before = spans[gap[0] - 1] if gap[0] else None
        after = spans[gap[-1] + 1] if gap[-1] + 1 < len(spans) else None
        between = range(before[1] if before else 0, after[0] if after else len(units))
        free = [index for index in between if any(char.isalnum() for char in units[index][0])]
        if free:
            filled[gap[0] : gap[-1] + 1] = [(free[0], free[-1] + 1)] * len(gap)
    return filled


def _shared_out(tokens: Sequence[str], spans: Sequence[Span | None], units: Units) -> list[SpokenWord]:
    starts = [0]
    for _, count in units:
        starts.append(starts[-1] + count)
    words: list[SpokenWord] = []
    placed = [(token, span) for token, span in zip(tokens, spans, strict=True) if span is not None]
    taken = 0
    for span, group in groupby(placed, lambda one: one[1]):
        sharing = [token for token, _ in group]
        begin, end = starts[max(span[0], taken)], starts[max(span[1], taken)]
        taken = max(span[1], taken)
        total, done = sum(map(len, sharing)), 0
        for token in sharing:
            start = begin + (end - begin) * done // total
            done += len(token)
            stop = begin + (end - begin) * done // total
            if stop > start:
                words.append(SpokenWord(token, start, stop))
    return words
