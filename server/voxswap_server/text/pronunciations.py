"""Custom pronunciations: from what a caller wrote to phones, and where their phrases stand in a text.

Knows nothing of how a language is read otherwise. An alphabet of pronunciations is one row of `_ALPHABETS`; kana is
the exception that needs no phones: it is read by the Japanese front-end in the place of the phrase, so it gets pitch.
"""

import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from importlib import import_module
from itertools import accumulate
from typing import Any, Final

from voxswap_server.domain import PhoneticEncoding, Pronunciation
from voxswap_server.errors import RequestError
from voxswap_server.text.reading import Spoken
from voxswap_server.text.symbols import ARPABET, PINYIN, SYMBOLS, UNKNOWN

FIELD: Final = "custom_pronunciations"

_UNSPACED = "\u3005-\u3007\u3040-\u30ff\u3400-\u9fff\uf900-\ufaff\U00020000-\U0003ffff"
"""Scripts without blanks between words."""
_SPACED = f"[^\\W{_UNSPACED}]"
_HANGUL = re.compile("[\uac00-\ud7a3]")
_SYLLABLE = re.compile(r"([a-z\u00fcv:]+)([0-9])")
_KANA = re.compile("[\u3041-\u3096\u30a1-\u30fa\u30fc ]+")
_TO_KATAKANA = {code: code + 0x60 for code in range(0x3041, 0x3097)}
_INITIALS = "b p m f d t n l g k h j q x zh ch sh r z c s y w"
_NEAR = 8

Units = tuple[tuple[str, ...], ...]


@dataclass(frozen=True, slots=True)
class Entry:
    """One phrase, ready to be spoken."""

    phrase: str
    language: str | None
    """Of its phones; None: of the text around it."""
    units: Units = ()
    kana: str = ""
    """Read in place of the phrase, where there are no `units`."""


@dataclass(frozen=True, slots=True)
class Lexicon:
    """Phrases of a request and their pronunciations."""

    entries: tuple[Entry, ...] = ()
    pattern: re.Pattern[str] | None = None
    """One group an entry, longest first; None where there is no entry."""

    def matches(self, text: str) -> Iterator[tuple[int, int, Entry]]:
        """(start, end, entry) of each phrase in a text, in order, none over another; the longest one wins."""
        for match in self.pattern.finditer(text) if self.pattern else ():
            yield match.start(), match.end(), self.entries[int(match.lastindex or 1) - 1]


PLAIN: Final = Lexicon()


def lexicon(pronunciations: Sequence[Pronunciation], symbols: str, *, below: Lexicon = PLAIN) -> Lexicon:
    """Compiles pronunciations for an alphabet.

    Args:
        pronunciations: where two have one phrase, the first counts.
        symbols: "v1" or "v2".
        below: entries for phrases that `pronunciations` do not have.

    Raises:
        RequestError: one is not of its alphabet, or the voice has no such phones; names the value and the choices.
    """
    if not pronunciations:
        return below
    found: dict[str, Entry] = {}
    for index, one in enumerate(pronunciations):
        field = f"{FIELD}[{index}].pronunciation"
        found.setdefault(one.phrase.strip().casefold(), _entry(one, symbols, field))
    for entry in below.entries:
        found.setdefault(entry.phrase.casefold(), entry)
    entries = tuple(sorted(found.values(), key=lambda entry: -len(entry.phrase)))
    pattern = "|".join(f"({_bounded(entry.phrase)})" for entry in entries)
    return Lexicon(entries, re.compile(pattern, re.IGNORECASE))


def _bounded(phrase: str) -> str:
    """A whole word where the script has blanks between words. Korean words go on with their particles."""
    before = f"(?<!{_SPACED})" if re.match(_SPACED, phrase[0]) else ""
    after = f"(?!{_SPACED})" if re.match(_SPACED, phrase[-1]) and not _HANGUL.match(phrase[-1]) else ""
    return f"{before}{re.escape(phrase)}{after}"


def _entry(one: Pronunciation, symbols: str, field: str) -> Entry:
    phrase, said = one.phrase.strip(), one.pronunciation.strip()
    if not phrase or not said:
        raise RequestError(f"the pronunciation of {one.phrase[:40]!r} has an empty half", field=field)
    if one.encoding is PhoneticEncoding.KANA:
        if not _KANA.fullmatch(said):
            odd = next(char for char in said if not _KANA.fullmatch(char))
            raise RequestError(f"{odd!r} in {said[:40]!r} is no hiragana or katakana", field=field)
        return Entry(phrase, "ja", kana=said.replace(" ", "").translate(_TO_KATAKANA))
    language, read = _ALPHABETS[one.encoding]
    try:
        units = tuple(read(said, symbols))
    except _NoPhone as wrong:
        raise RequestError(f"{wrong.args[0]} (the pronunciation of {phrase[:40]!r})", field=field) from None
    missing = sorted({phone for unit in units for phone in unit if phone not in SYMBOLS[symbols]})
    if missing:
        raise RequestError(
            f"this voice has no {one.encoding.value} phones, as {phrase[:40]!r} needs: its alphabet {symbols} "
            f"is without {', '.join(missing)}",
            field=field,
        )
    return Entry(phrase, language, units)


class _NoPhone(ValueError):
    """What is no phone, and the choices."""


def _phones(said: str, symbols: str) -> Iterable[tuple[str, ...]]:
    return _names(said.split(), [name for name in SYMBOLS[symbols].names if name != UNKNOWN], "phone of this voice")


def _arpabet(said: str, symbols: str) -> Iterable[tuple[str, ...]]:  # noqa: ARG001  # both alphabets have English
    return _names(said.upper().split(), sorted(ARPABET), "ARPAbet phone with its stress")


def _names(phones: Iterable[str], known: Sequence[str], kind: str) -> Iterator[tuple[str, ...]]:
    for phone in phones:
        if phone not in known:
            near = get_close_matches(phone, known, n=_NEAR, cutoff=0.3) or known[:_NEAR]
            raise _NoPhone(f"{phone[:40]!r} is no {kind}; nearest of its {len(known)}: {' '.join(near)}")
        yield (phone,)


def _pinyin(said: str, symbols: str) -> Iterable[tuple[str, ...]]:  # noqa: ARG001  # both alphabets have Mandarin
    convert: Any = import_module("pypinyin.contrib.tone_convert")
    table: Any = import_module("voxswap_server.text.chinese.pinyin")
    for syllable in _syllables(said, "pinyin", "12345", "chong2 qing4"):
        plain = syllable.replace("u:", "v").replace("\u00fc", "v")
        initial, final = convert.to_initials(plain), convert.to_finals_tone3(plain, neutral_tone_with_five=True)
        phones = table.phones(initial, final) if len(final) > 1 and final[-1].isdigit() else ()
        if not phones or not PINYIN.issuperset(phones):
            raise _NoPhone(f"{syllable!r} is no pinyin syllable; initials: {_INITIALS}; finals as in ma1 xue2 lv4")
        yield phones


def _jyutping(said: str, symbols: str) -> Iterable[tuple[str, ...]]:  # noqa: ARG001  # checked for all encodings
    read: Any = import_module("voxswap_server.text.cantonese").read_jyutping
    for syllable in _syllables(said, "jyutping", "123456", "hoeng1 gong2"):
        phones = read(syllable)
        if not phones or not all(phone in SYMBOLS["v2"] for phone in phones):
            raise _NoPhone(f"{syllable!r} is no jyutping syllable, such as hoeng1")
        yield phones


def _syllables(said: str, kind: str, tones: str, example: str) -> Iterator[str]:
    for word in said.lower().split():
        if "".join(match[0] for match in _SYLLABLE.finditer(word)) != word:
            raise _NoPhone(f"{word[:40]!r} is no {kind} with tone digits, such as {example!r}")
        for letters, tone in _SYLLABLE.findall(word):
            if tone not in tones:
                raise _NoPhone(f"{letters + tone!r} has tone {tone}; choices: {' '.join(tones)}")
            yield letters + tone


_ALPHABETS: Mapping[PhoneticEncoding, tuple[str | None, Callable[[str, str], Iterable[tuple[str, ...]]]]] = {
    PhoneticEncoding.PHONES: (None, _phones),
    PhoneticEncoding.ARPABET: ("en", _arpabet),
    PhoneticEncoding.PINYIN: ("zh", _pinyin),
    PhoneticEncoding.JYUTPING: ("yue", _jyutping),
}
"""Encoding → the language that it belongs to, and how it is read."""

Piece = tuple[str, str | Spoken]


def laid_over(runs: Sequence[tuple[str, str]], lexicon: Lexicon) -> list[Piece]:
    """Runs of (language, text), cut where a phrase stands; the phrase comes in the language of its phones."""
    text = "".join(run for _, run in runs)
    ends = list(accumulate(len(run) for _, run in runs))
    pieces: list[Piece] = []

    def keep(start: int, end: int) -> None:
        for (language, run), run_end in zip(runs, ends, strict=True):
            if kept := text[max(start, run_end - len(run)) : min(end, run_end)]:
                pieces.append((language, kept))

    position = 0
    for start, end, entry in lexicon.matches(text):
        keep(position, start)
        around = next(language for (language, _), run_end in zip(runs, ends, strict=True) if start < run_end)
        pieces.append((entry.language or around, entry.kana or Spoken(text[start:end], entry.units)))
        position = end
    keep(position, len(text))
    return pieces
