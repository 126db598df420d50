"""The Japanese front-end: OpenJTalk's phones, with marks of pitch and phrase between them.

Knows nothing of other languages. OpenJTalk and its dictionary come with pyopenjtalk-plus; that package's own
corrections of readings are left out, since the models learnt plain OpenJTalk's. The marks follow Kurihara, Seiyama and
Kumano, "Prosodic features control by symbols as input of sequence-to-sequence acoustic modeling for neural TTS" (2021).
"""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise

import pyopenjtalk

from voxswap_server.text.reading import Reading, Spoken, Text, meaningful, parts_of
from voxswap_server.text.symbols import SYMBOLS, SymbolTable

_WORD = "A-Za-z\\d々\\u3040-\\u30ff\\u4e00-\\u9fff\\uff11-\\uff19\\uff21-\\uff3a\\uff41-\\uff5a\\uff66-\\uff9d"
_MARK = re.compile(f"([^{_WORD}])")
_REPEATED_MARK = re.compile(r"([!?…,.\-])[!?…,.\-]+")
_MARKS = str.maketrans("：；，。！？\n·、", ",,,.!?.,,")

_PAUSE, _PHRASE, _RISE, _FALL = "_", "#", "[", "]"
_DEVOICED = frozenset("AEIOU")
_MORA_ENDS = frozenset("aeiouAEIOUN") | {"cl"}
_LABEL = re.compile(
    r"\-(?P<phone>.*?)\+.*/A:(?P<to_accent>-?\d+|xx)\+(?P<mora>-?\d+|xx)\+(?P<left>-?\d+|xx).*/F:(?P<moras>\d+|xx)_"
)


@dataclass(frozen=True, slots=True)
class _Label:
    """What one full-context label says of its phone."""

    phone: str
    to_accent: int | None
    """Morae from the accent's fall to this mora."""
    mora: int | None
    """This mora's place in the accent phrase, from 1."""
    left: int | None
    """Morae left in the accent phrase, this one included."""
    moras: int | None
    """Morae of the accent phrase."""


class JapaneseReader:
    """Reads Japanese; OpenJTalk loads at the first text. Any thread may call it."""

    def read(self, text: Text, symbols: str, *, spell_out: bool = True) -> Reading:
        norm_text, unread = "", ""
        phones: list[str] = []
        for part in parts_of(text):
            if isinstance(part, Spoken):
                norm_text += part.phrase
                phones.extend(part.phones)
                continue
            written = _REPEATED_MARK.sub(r"\1", part)
            norm_text += written
            said, lost = _read(written.replace("％", "パーセント") if spell_out else written, SYMBOLS[symbols])
            phones.extend(said)
            unread += lost
        return Reading(norm_text, tuple(phones), dropped=meaningful(unread))


def _read(text: str, alphabet: SymbolTable) -> tuple[list[str], str]:
    """Phones and marks, and what has none."""
    pieces = _MARK.split(text.lower())
    phones: list[str] = []
    unread = ""
    for words, mark in zip(pieces[::2], [*pieces[1::2], ""], strict=True):
        said = _say(words)
        phones.extend(said)
        if not said:
            unread += words
        if mark and mark != " ":
            phones.append(mark.translate(_MARKS))
            unread += "" if phones[-1] in alphabet else mark
    return phones, unread


def _say(words: str) -> list[str]:
    """Phones and marks of words without punctuation; empty when OpenJTalk cannot read any of it."""
    features = pyopenjtalk.run_frontend(words) if words else []
    if not any(feature["mora_size"] for feature in features):
        return []
    return list(_prosody([_parsed(label) for label in pyopenjtalk.make_label(features)]))


def _parsed(label: str) -> _Label:
    match = _LABEL.search(label)
    if match is None:
        raise ValueError(f"OpenJTalk gave a label of an unknown form: {label!r}")
    numbers = [None if match[name] == "xx" else int(match[name]) for name in ("to_accent", "mora", "left", "moras")]
    return _Label(match["phone"], *numbers)


def _prosody(labels: Sequence[_Label]) -> Iterator[str]:
    """Phones between the outer silences, with a mark after each where pitch or phrase changes."""
    for label, after in pairwise(labels):
        if label.phone == "sil":
            continue
        if label.phone == "pau":
            yield _PAUSE
            continue
        yield label.phone.lower() if label.phone in _DEVOICED else label.phone
        if label.left == 1 and after.mora == 1 and label.phone in _MORA_ENDS:
            yield _PHRASE
        elif label.mora is None:
            continue
        elif label.to_accent == 0 and after.mora == label.mora + 1 and label.mora != label.moras:
            yield _FALL
        elif label.mora == 1 and after.mora == 2:
            yield _RISE


__all__ = ["JapaneseReader"]
