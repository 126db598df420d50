"""The shape of the mouth for each phone of the two alphabets, for lip-sync.

Fifteen shapes, by the names that most animation tools know: sil, PP, FF, TH, DD, kk, CH, SS, nn, RR, aa, E, ih, oh, ou.
Of a phone of several sounds (a diphthong, a final) the shape of its main vowel counts. Knows nothing of time.
"""

import re
from collections.abc import Mapping
from types import MappingProxyType
from typing import Final

from voxswap_server.text.symbols import SYMBOLS

VISEMES: Final = ("sil", "PP", "FF", "TH", "DD", "kk", "CH", "SS", "nn", "RR", "aa", "E", "ih", "oh", "ou")

_CONSONANTS: Mapping[str, str] = {
    "PP": "B M P b m p by my py ㅁ ㅂ ㅃ ㅍ Yb Ym Yp",
    "FF": "F V f Yf",
    "TH": "DH TH",
    "DD": "D T d t dy ty ㄷ ㄸ ㅌ Yd Yt cl",
    "kk": "G HH K NG g h k gy hy ky ㄱ ㄲ ㅋ ㅎ ㅇ Yg Ygw Yh Yk Ykw Yng",
    "CH": "CH JH SH ZH ch j q sh x zh ㅈ ㅉ ㅊ Yz",
    "SS": "S Z c s ts z ㅅ ㅆ Ys Yc",
    "nn": "L N n l ny ㄴ Yl Yn",
    "RR": "R r ry ㄹ",
    "ou": "W w Yw",
    "ih": "Y y Yj",
}
_VOWELS: Mapping[str, str] = {
    "aa": "AA AE AH AW AY",
    "E": "EH EY E En",
    "ih": "IH IY i0",
    "oh": "AO OW OY OO",
    "ou": "UH UW",
    "RR": "ER er",
}
_LETTERS: tuple[tuple[str, str], ...] = (
    ("aa", "aㅏ"),
    ("oh", "oㅗㅓ"),
    ("E", "eEㅐㅔ"),
    ("ou", "uUvㅜ"),
    ("ih", "iIㅡㅣ"),
    ("PP", "m"),
    ("nn", "nN"),
    ("kk", "k"),
    ("DD", "t"),
)
"""Of any other phone, the first row whose letter is in it: the most open vowel, else a consonant alone."""
_TONE = re.compile(r"[0-9]$")


def _viseme(phone: str) -> str:
    plain = _TONE.sub("", phone)
    for table in (_CONSONANTS, _VOWELS):
        for viseme, phones in table.items():
            if plain in phones.split():
                return viseme
    if not any(char.isalpha() for char in plain) or plain in {"SP", "UNK", "停", "空"} or plain.startswith("SP"):
        return "sil"
    letters = plain.removeprefix("Y") or plain
    return next((viseme for viseme, row in _LETTERS if any(letter in letters for letter in row)), "sil")


VISEME_OF: Final[Mapping[str, str]] = MappingProxyType(
    {phone: _viseme(phone) for table in SYMBOLS.values() for phone in table.names}
)
"""By phone, of both alphabets."""
