"""Text to phone ids: cuts a text into utterances, finds its language runs, reads each with its language's reader.

Knows nothing of voices, networks or audio. A language is one row of `_READERS`; a code of upstream is a way to find
runs (`runs.py`).
"""

import re
import unicodedata
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from importlib import import_module
from itertools import groupby
from types import MappingProxyType
from typing import Any, Final

from voxswap_server.domain import CutMethod, Notice
from voxswap_server.errors import RequestError, TextTooLong, UnsupportedLanguage
from voxswap_server.text import cuts, pauses
from voxswap_server.text.lazy import Lazy
from voxswap_server.text.pronunciations import Piece, laid_over
from voxswap_server.text.reading import Reader, Spoken, Text, meaningful
from voxswap_server.text.runs import RunFinder
from voxswap_server.text.symbols import SYMBOLS, UNKNOWN
from voxswap_server.text.utterances import Line, Manner, Run, Script, Utterance

LONGEST_CHARS: Final = 512
"""Of one utterance. The cut keeps to 510 where the text has marks, and may add one at the start and one at the end."""

_LETTER = re.compile(r"\w")
_BLANKS = re.compile(" {2,}")
_DIGIT = re.compile(r"(?![0-9\uff10-\uff19])\d")
"""Digits of other scripts; each language has its own way with the wide ones of its script."""
_SHORTEST_PHONES = 6
"""A shorter utterance is read again with a full stop before it: the model cannot hold on to less."""
_LISTED_CHARACTERS = 16


_USUAL: Final = Manner()

_READERS: Mapping[str, tuple[str, str]] = {
    "en": ("english", "EnglishReader"),
    "zh": ("chinese", "ChineseReader"),
    "ja": ("japanese", "JapaneseReader"),
    "ko": ("korean", "KoreanReader"),
    "yue": ("cantonese", "CantoneseReader"),
}
"""Language → module and class of its reader, imported at the first text of that language."""

_LANGUAGES: Mapping[str, frozenset[str]] = {"v1": frozenset({"en", "zh", "ja"}), "v2": frozenset(_READERS)}
"""Which languages an alphabet has phones for."""

_BY_CHARACTER = frozenset({"zh", "yue"})
_CHINESE = re.compile("[\u4e00-\u9fa5]")

_SAMPLES: Mapping[str, str] = {"en": "1 voxswapping qzx", "zh": "好", "ja": "良い", "ko": "좋다", "yue": "好"}
"""Texts that touch every resource of their language."""

_SOUNDLESS = frozenset({"!", ",", "-", ".", "?", "…", "_", "SP", "SP2", "SP3", UNKNOWN, "[", "]", "停", "空"})


def _loader(module: str, name: str, **options: Any) -> Callable[[], Reader]:
    def load() -> Reader:
        reader: Reader = getattr(import_module(f"voxswap_server.text.{module}"), name)(**options)
        return reader

    return load


class TextFrontend:
    """Reads text in all languages. Each language loads at its first use, once; any thread may call it.

    Args:
        options: what the readers of some languages are made with, by language.
    """

    def __init__(self, options: Mapping[str, Mapping[str, Any]] = MappingProxyType({})) -> None:
        self._readers = {
            language: Lazy(_loader(*place, **options.get(language, {}))) for language, place in _READERS.items()
        }
        self._run_finder = RunFinder()

    def segment(self, text: str, code: str, cut: CutMethod, *, collapse: bool = True) -> list[str]:
        """Cuts a text into utterances.

        Args:
            text: as the caller wrote it.
            code: upstream's language code (see `languages.upstream_code`).
            cut: where to cut.
            collapse: reduce runs of marks to their first; upstream does so unless it streams.

        Returns:
            Utterances of at most `LONGEST_CHARS` characters; where a text has no mark to cut at, upstream's may be
            longer, and ours are cut at a blank.

        Raises:
            RequestError: the text holds nothing to speak.
        """
        pieces = cuts.utterances(cuts.collapse_repeats(text) if collapse else text, code, cut)
        spoken = [part for piece in pieces for part in _bounded(piece) if _LETTER.search(part)]
        if not spoken:
            raise RequestError("text holds nothing to speak: it has no letter or digit", field="text")
        return spoken

    def script(self, text: str, code: str, cut: CutMethod, *, collapse: bool = True) -> Script:
        """Cuts a text into utterances, and at its marks of silence (see `pauses`).

        A mark sets the pause after what is said before it, in place of the usual one; marks in a row add up.

        Args:
            text: as the caller wrote it.
            code: upstream's language code.
            cut: where to cut between the marks.
            collapse: as in `segment`.

        Raises:
            RequestError: the text holds nothing to speak, or a mark is wrong.
        """
        lines: list[Line] = []
        parts = pauses.split(text)
        for part in parts:
            if isinstance(part, str):
                speaks = _LETTER.search(part) is not None
                lines += (
                    [Line(segment) for segment in self.segment(part, code, cut, collapse=collapse)] if speaks else []
                )
            else:
                before = lines.pop() if lines else Line("")
                lines.append(Line(before.text, (before.pause_ms or 0) + part.ms))
        spoken = [line.text for line in lines if line.text]
        if not spoken:
            raise RequestError("text holds nothing to speak: it has no letter or digit", field="text")
        written = "".join(part for part in parts if isinstance(part, str))
        return Script(tuple(lines), self.left_out(written, spoken))

    def analyse(self, segment: str, code: str, symbols: str, manner: Manner = _USUAL) -> Utterance:
        """Phones of one utterance.

        Args:
            segment: one piece that `segment` gave.
            code: upstream's language code.
            symbols: the alphabet of the voice, "v1" or "v2".
            manner: pronunciations and whether to spell out.

        Raises:
            RequestError: nothing in it can be read in this language.
            TextTooLong: it has more than `LONGEST_CHARS` characters.
        """
        if len(segment) > LONGEST_CHARS:
            raise TextTooLong(
                f"one utterance has {len(segment)} characters; at most {LONGEST_CHARS} can be read in one go",
                field="text",
            )
        utterance = self._analyse(segment, code, symbols, manner)
        if len(utterance.phones) < _SHORTEST_PHONES:
            utterance = self._analyse(f".{segment}", code, symbols, manner)
        if all(_SOUNDLESS.issuperset(run.phones) for run in utterance.runs):
            raise RequestError(f"text {segment[:40]!r} holds nothing that {code!r} can read", field="text")
        return utterance

    def warm_up(self, languages: Iterable[str]) -> None:
        """Loads all that these languages (en, zh, ja, ko, yue) need, so that their first text does not wait for it.

        Raises:
            UnsupportedLanguage: one of them has no reader.
        """
        for language in languages:
            if language not in _READERS:
                raise UnsupportedLanguage(f"no front-end reads {language!r}; choices: {', '.join(_READERS)}")
            self.read(_SAMPLES[language], language, "v2")
        self._run_finder.runs("好", "auto")

    def speaks_chinese(self, text: str, code: str) -> bool:
        """Whether some of a text is likely to be read as Mandarin; quick, for it reads nothing.

        Args:
            text: of any length.
            code: upstream's language code.
        """
        if code != "auto":
            return code in {"zh", "all_zh"}
        lines = [line for line in text.splitlines() if _CHINESE.search(line)]
        return any(language == "zh" for line in lines for language, _ in self._run_finder.runs(line, code))

    def left_out(self, text: str, segments: Iterable[str]) -> tuple[Notice, ...]:
        """What of a text is in none of its segments: pieces of symbols alone are no utterance."""
        lost = Counter(text) - Counter("".join(segments))
        return _notices(meaningful("".join(lost)))

    def read(self, text: Text, language: str, symbols: str, *, spell_out: bool = True) -> tuple[Run, frozenset[str]]:
        """One run of one language, and its meaningful characters that are not spoken.

        Args:
            text: the run.
            language: en, zh, ja, ko or yue; the alphabet must speak it.
            symbols: "v1" or "v2".
            spell_out: write numbers and the like in words first.
        """
        alphabet = SYMBOLS[symbols]
        reading = self._readers[language].get().read(text, symbols, spell_out=spell_out)
        known = tuple(phone if phone in alphabet else UNKNOWN for phone in reading.phones)
        run = Run(language, reading.norm_text, known, reading.word2ph, reading.words, reading.notices)
        return run, reading.dropped

    def prompt(self, text: str, code: str, symbols: str) -> Utterance:
        """Phones of a reference audio's transcript: one utterance, with a final stop.

        Raises:
            RequestError: as `analyse`; it is about the prompt.
        """
        text = text.strip("\n")
        if text and text[-1] not in cuts.SPLITTERS:
            text += cuts.final_stop(code)
        try:
            return self.analyse(text, code, symbols)
        except RequestError as error:
            error.field = "prompt.transcript"
            raise

    def _analyse(self, segment: str, code: str, symbols: str, manner: Manner) -> Utterance:
        runs: list[Run] = []
        dropped: set[str] = set()
        plain = _BLANKS.sub(" ", segment)
        if manner.spell_out:
            plain = _DIGIT.sub(lambda digit: str(unicodedata.decimal(digit[0])), plain)
        found = self._run_finder.runs(plain, code)
        dropped |= meaningful("".join(Counter(plain) - Counter("".join(text for _, text in found))))
        for language, parts in _grouped(laid_over(found, manner.lexicon), symbols):
            if isinstance(parts, Spoken):
                runs.append(Run(language, parts.phrase, parts.phones, None))
                continue
            if language not in _LANGUAGES[symbols]:
                dropped |= meaningful("".join(part for part in parts if isinstance(part, str)))
                continue
            text = parts[0] if len(parts) == 1 and isinstance(parts[0], str) else parts
            run, unread = self.read(text, language, symbols, spell_out=manner.spell_out)
            runs.append(run)
            dropped |= unread
        return Utterance(
            text=segment,
            norm_text="".join(run.norm_text for run in runs),
            phones=tuple(row for run in runs for row in SYMBOLS[symbols].ids(run.phones)),
            runs=tuple(runs),
            notices=(*_notices(frozenset(dropped)), *dict.fromkeys(notice for run in runs for notice in run.notices)),
        )


def _grouped(pieces: Iterable[Piece], symbols: str) -> Iterator[tuple[str, tuple[str | Spoken, ...] | Spoken]]:
    """Neighbours of one language together; a phrase that its language cannot hold is a run by itself.

    Mandarin and Cantonese are read by character, so a phrase without one has no place among them.
    """
    for (language, alone), group in groupby(pieces, lambda piece: (piece[0], _stands_alone(piece, symbols))):
        parts = [part for _, part in group]
        if alone:
            yield from ((language, part) for part in parts if isinstance(part, Spoken))
            continue
        joined: list[str | Spoken] = []
        for part in parts:
            if joined and isinstance(part, str) and isinstance(joined[-1], str):
                joined[-1] += part
            else:
                joined.append(part)
        yield language, tuple(joined)


def _stands_alone(piece: Piece, symbols: str) -> bool:
    language, part = piece
    if isinstance(part, str):
        return False
    return language not in _LANGUAGES[symbols] or (language in _BY_CHARACTER and _CHINESE.search(part.phrase) is None)


def _bounded(piece: str) -> Iterator[str]:
    """Parts of at most `LONGEST_CHARS`, cut after a blank where there is one."""
    while len(piece) > LONGEST_CHARS:
        end = piece.rfind(" ", 0, LONGEST_CHARS) + 1 or LONGEST_CHARS
        yield piece[:end]
        piece = piece[end:]
    yield piece


def _notices(dropped: frozenset[str]) -> tuple[Notice, ...]:
    if not dropped:
        return ()
    shown = "".join(sorted(dropped)[:_LISTED_CHARACTERS])
    more = f" and {len(dropped) - _LISTED_CHARACTERS} more" if len(dropped) > _LISTED_CHARACTERS else ""
    return (Notice("CHARACTERS_NOT_READ", f"characters that this language cannot read were left out: {shown!r}{more}"),)
