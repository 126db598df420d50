"""The two phone alphabets of the checkpoints: the index of a phone is its row in the text embedding.

Knows nothing of languages' spelling or of sound; it only composes the tables, which are a wire format, from the parts
that they are made of. A table is sorted by code point within its part, as the trainer did, so composition gives the
order too. `tests/unit/test_symbols.py` holds the published tables.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import Final

UNKNOWN: Final = "UNK"
"""What a phone outside the alphabet becomes."""

_MARKS = "! , - . ? … _ SP SP2 SP3 UNK"

_ARPABET_CONSONANTS = "B CH D DH F G HH JH K L M N NG P R S SH T TH V W Y Z ZH"
_ARPABET_VOWELS = "AA AE AH AO AW AY EH ER EY IH IY OW OY UH UW"

_MANDARIN_INITIALS = "AA EE OO b c ch d f g h j k l m n p q r s sh t w x y z zh"
_MANDARIN_FINALS = (
    "E En a ai an ang ao e ei en eng er i i0 ia ian iang iao ie in ing iong ir iu o ong ou u ua uai uan uang ui un uo"
    " v van ve vn"
)

_JAPANESE_PHONES = "I N U a b by ch cl d dy e f g gy h hy i j k ky m my n ny o p py r ry s sh t ts u v w y z"
_PITCH_MARKS = "[ ]"

_JAMO_CONSONANTS = "ㄱㄲㄴㄷㄸㄹㅁㅂㅃㅅㅆㅇㅈㅉㅊㅋㅌㅍㅎ"
_JAMO_VOWELS = "ㅏㅐㅓㅔㅗㅜㅡㅣ"
_KOREAN_MARKS = "停空"

_JYUTPING_ONSETS = "b c d f g gw h j k kw l m n ng p s t w z"
_JYUTPING_RIMES = (
    "a aa aai aak aam aan aang aap aat aau ai ak am an ang ap at au e ei ek eng eoi eon eot g i ik im in ing ip it iu k"
    " m n o oe oek oeng oi ok on ong ot ou p t u ui uk un ung ut yu yun yut"
)
_JYUTPING_TONELESS = "a aa ai ak au e o oi ok on ou uk"
"""Rimes that the trainer's alphabet also holds without a tone."""


def _toned(rimes: str, tones: Sequence[int]) -> set[str]:
    return {f"{rime}{tone}" for rime in rimes.split() for tone in tones}


def _first_table() -> tuple[str, ...]:
    # Two vowels are in the alphabet without stress too.
    english = {*_ARPABET_CONSONANTS.split(), "ER", "IH"} | _toned(_ARPABET_VOWELS, range(3))
    mandarin = set(_MANDARIN_INITIALS.split()) | _toned(_MANDARIN_FINALS, range(1, 6))
    return tuple(sorted({*_MARKS.split(), *_JAPANESE_PHONES.split()} | english | mandarin))


def _second_table() -> tuple[str, ...]:
    korean = (*sorted(_JAMO_CONSONANTS + _JAMO_VOWELS), *_KOREAN_MARKS)
    jyutping = set(f"{_JYUTPING_ONSETS} {_JYUTPING_TONELESS}".split()) | _toned(_JYUTPING_RIMES, range(1, 7))
    return (*_first_table(), *_PITCH_MARKS.split(), *korean, *sorted(f"Y{part}" for part in jyutping))


ARPABET: Final = frozenset(_ARPABET_CONSONANTS.split()) | _toned(_ARPABET_VOWELS, range(3))
"""Phones of an English pronunciation: vowels carry their stress, 0 to 2."""
PINYIN: Final = frozenset(_MANDARIN_INITIALS.split()) | _toned(_MANDARIN_FINALS, range(1, 6))
"""Phones of a Mandarin syllable."""


@dataclass(frozen=True, slots=True)
class SymbolTable:
    """One alphabet: `names[i]` is the phone of embedding row `i`."""

    version: str
    names: tuple[str, ...]
    index: Mapping[str, int]

    def __contains__(self, phone: object) -> bool:
        return phone in self.index

    def ids(self, phones: Iterable[str]) -> tuple[int, ...]:
        """Embedding rows of phones; a phone outside the alphabet gives the row of `UNKNOWN`."""
        unknown = self.index[UNKNOWN]
        return tuple(self.index.get(phone, unknown) for phone in phones)


def _table(version: str, names: tuple[str, ...]) -> SymbolTable:
    return SymbolTable(version, names, MappingProxyType({name: row for row, name in enumerate(names)}))


SYMBOLS: Final[Mapping[str, SymbolTable]] = MappingProxyType(
    {"v1": _table("v1", _first_table()), "v2": _table("v2", _second_table())}
)
"""By the name of the alphabet: "v1" (322 phones), "v2" (732; every later model version uses it)."""
