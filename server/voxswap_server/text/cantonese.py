"""The Cantonese front-end: normalises as Mandarin does, reads in Jyutping, gives two phones a character.

Knows nothing of other languages. Readings come from ToJyutping, which settles characters of several readings by the
words around them. Every phone has "Y" before it, so that it never meets a Mandarin one.
"""

import re

import ToJyutping

from voxswap_server.text.chinese.normalise import CANTONESE, SpokenChinese
from voxswap_server.text.lazy import Lazy
from voxswap_server.text.reading import Reading, Text, parts_of

_SYLLABLE = re.compile(r"([a-z]+)([1-6])")
_ONSETS = "b c d f g gw h j k kw l m n ng p s t w z a aa ai ak ap at au e o oi ok on ong ou uk ung"
"""What may stand as the first phone. A syllable without a consonant has its first letters there, and its last letter
again as the second where nothing is left."""
_MARKS = frozenset("!?…,.-")
_ONSET = re.compile("|".join(sorted(_ONSETS.split(), key=len, reverse=True)))


class CantoneseReader:
    """Reads Cantonese. Resources load at the first text, once; any thread may call it."""

    def __init__(self) -> None:
        self._rules = Lazy(lambda: SpokenChinese(CANTONESE))

    def read(self, text: Text, symbols: str, *, spell_out: bool = True) -> Reading:  # noqa: ARG002  # only one alphabet has Cantonese
        normal = self._rules.get().normalise_parts(parts_of(text), spell_out=spell_out)
        phones: list[str] = []
        counts: list[int] = []
        unread: set[str] = set()
        for char, syllables in ToJyutping.get_jyutping_list(normal.text):
            said = normal.given.get(len(counts), _phones(char, syllables))
            if not said and len(counts) not in normal.given:
                unread.add(char)
            phones.extend(said)
            counts.append(len(said))
        return Reading(normal.text, tuple(phones), tuple(counts), normal.dropped | unread)


def _phones(char: str, syllables: str | None) -> tuple[str, ...]:
    if syllables is None and char in _MARKS:
        return (char,)
    return read_jyutping(syllables or "")


def read_jyutping(syllables: str) -> tuple[str, ...]:
    """Two phones for each syllable of Jyutping; what is none gives nothing."""
    said: list[str] = []
    for syllable, tone in _SYLLABLE.findall(syllables):
        onset = _ONSET.match(syllable)
        if onset is not None:
            said += [f"Y{onset[0]}", f"Y{syllable[onset.end() :] or onset[0][-1]}{tone}"]
    return tuple(said)
