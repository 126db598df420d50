"""Writes an English text as it is spoken: numbers in words, accents off, capitals spelt apart.

Knows nothing of phones.
"""

import re
import unicodedata

from voxswap_server.text.english import numbers
from voxswap_server.text.reading import meaningful

_ASIAN_STOPS = str.maketrans("。！？", ".!?")
_UNREADABLE = re.compile(r"[^ A-Za-z'.,?!\-]")
_ABBREVIATIONS = (
    (re.compile(r"i\.e\.", re.IGNORECASE), "that is"),
    (re.compile(r"e\.g\.", re.IGNORECASE), "for example"),
)
_INNER_CAPITAL = re.compile(r"(?<!^)(?<!\s)([A-Z])")
_REPEATED_MARK = re.compile(r"([!?…,.\-\s])[!?…,.\-]+")


def normalise(text: str, *, spell_out: bool = True) -> tuple[str, frozenset[str]]:
    """Returns the text as it is spoken, and the meaningful characters that it lost.

    A capital inside a word is set apart ("NASA" is read by letters, "MacDowell" as two words); after a mark or a
    blank, further marks go.
    """
    text = text.translate(_ASIAN_STOPS)
    if spell_out:
        text = numbers.spell_out(text).replace("%", " percent")
    decomposed = unicodedata.normalize("NFD", text)
    text = "".join(char for char in decomposed if unicodedata.category(char) != "Mn")
    dropped = meaningful("".join(_UNREADABLE.findall(text)))
    text = _UNREADABLE.sub("", text)
    for pattern, spoken in _ABBREVIATIONS if spell_out else ():
        text = pattern.sub(spoken, text)
    return _REPEATED_MARK.sub(r"\1", _INNER_CAPITAL.sub(r" \1", text)), dropped
