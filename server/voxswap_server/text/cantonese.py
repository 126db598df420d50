"""The Cantonese front-end: normalises as Mandarin does, reads in Jyutping, gives two phones a character.

Knows nothing of other languages. Readings come from ToJyutping, which settles characters of several readings by the
words around them. Every phone has "Y" before it, so that it never meets a Mandarin one.
"""

import re

import ToJyutping

from voxswap_server.text.chinese.normalise import SpokenChinese
from voxswap_server.text.lazy import Lazy
from voxswap_server.text.reading import Reading

_SYLLABLE = re.compile(r"([a-z]+)([1-6])")
_ONSETS = "b c d f g gw h j k kw l m n ng p s t w z a aa ai ak ap at au e o oi ok on ong ou uk ung"
"""What may stand as the first phone. A syllable without a consonant has its first letters there, and its last letter
again as the second where nothing is left."""
_MARKS = frozenset("!?…,.-")
_ONSET = re.compile("|".join(sorted(_ONSETS.split(), key=len, reverse=True)))


class CantoneseReader:
    """Reads Cantonese. Resources load at the first text, once; any thread may call it."""

    def __init__(self) -> None:
        self._rules = Lazy(SpokenChinese)

    def read(self, text: str, symbols: str) -> Reading:  # noqa: ARG002  # only one alphabet has Cantonese
        norm_text, dropped = self._rules.get().normalise(text)
        phones: list[str] = []
        counts: list[int] = []
        unread: set[str] = set()
        for char, syllables in ToJyutping.get_jyutping_list(norm_text):
            said = _phones(char, syllables)
            if not said:
                unread.add(char)
            phones.extend(said)
            counts.append(len(said))
        return Reading(norm_text, tuple(phones), tuple(counts), dropped | unread)


def _phones(char: str, syllables: str | None) -> tuple[str, ...]:
    if syllables is None and char in _MARKS:
        return (char,)
    said: list[str] = []
    for syllable, tone in _SYLLABLE.findall(syllables or ""):
        onset = _ONSET.match(syllable)
        if onset is not None:
            said += [f"Y{onset[0]}", f"Y{syllable[onset.end() :] or onset[0][-1]}{tone}"]
    return tuple(said)
