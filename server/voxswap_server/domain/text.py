"""How a text is meant to be read: its language, where it is cut, what is said in a way of its own.

Knows nothing of the front-ends that read it.
"""

from dataclasses import dataclass
from enum import StrEnum


class LanguageMode(StrEnum):
    """How a text of several languages is read; see docs/LANGUAGES.md for the table to upstream's codes."""

    MIXED = "mixed"
    ALL = "all"
    AUTO = "auto"
    AUTO_CANTONESE = "auto_cantonese"


class CutMethod(StrEnum):
    """Where a text is cut into utterances (upstream's cut0 to cut5)."""

    NONE = "none"
    FOUR_SENTENCES = "four_sentences"
    FIFTY_CHARACTERS = "fifty_characters"
    CHINESE_STOP = "chinese_stop"
    ENGLISH_STOP = "english_stop"
    PUNCTUATION = "punctuation"


@dataclass(frozen=True, slots=True)
class Language:
    """A language and how strictly it is meant. An empty code means: detect."""

    code: str = ""
    mode: LanguageMode = LanguageMode.MIXED


class PhoneticEncoding(StrEnum):
    """In which alphabet a pronunciation is written."""

    PHONES = "phones"
    PINYIN = "pinyin"
    KANA = "kana"
    ARPABET = "arpabet"
    JYUTPING = "jyutping"


@dataclass(frozen=True, slots=True)
class Pronunciation:
    """How one word or phrase is to be said."""

    phrase: str
    """As it is written in the text; letter case does not matter."""
    pronunciation: str
    encoding: PhoneticEncoding = PhoneticEncoding.PHONES
