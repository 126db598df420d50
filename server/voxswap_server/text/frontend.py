"""Text to phone ids: cuts a text into utterances, finds its language runs, reads each with its language's reader.

Knows nothing of voices, networks or audio. A language is one row of `_READERS`; a code of upstream is a way to find
runs (`runs.py`).
"""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from importlib import import_module

from voxswap_server.domain import CutMethod, Notice
from voxswap_server.errors import RequestError
from voxswap_server.text import cuts
from voxswap_server.text.lazy import Lazy
from voxswap_server.text.reading import Reader
from voxswap_server.text.runs import RunFinder
from voxswap_server.text.symbols import SYMBOLS

_BLANKS = re.compile(" {2,}")
_SHORTEST_PHONES = 6
"""A shorter utterance is read again with a full stop before it: the model cannot hold on to less."""
_LISTED_CHARACTERS = 16


@dataclass(frozen=True, slots=True)
class Run:
    """A stretch of one language."""

    language: str
    """en, zh, ja, ko or yue."""
    norm_text: str
    phones: tuple[str, ...]
    """Phones of the alphabet; what is not in it has become UNK."""
    word2ph: tuple[int, ...] | None
    """Phones per character of `norm_text`, where the language reads by character (zh, yue)."""


@dataclass(frozen=True, slots=True)
class Utterance:
    """What the model is asked to say in one go."""

    text: str
    norm_text: str
    phones: tuple[int, ...]
    """Rows of the alphabet's embedding."""
    runs: tuple[Run, ...]
    notices: tuple[Notice, ...] = ()
    """What of the text cannot be heard."""


_READERS: Mapping[str, tuple[str, str]] = {
    "en": ("english", "EnglishReader"),
    "zh": ("chinese", "ChineseReader"),
    "ja": ("japanese", "JapaneseReader"),
    "ko": ("korean", "KoreanReader"),
    "yue": ("cantonese", "CantoneseReader"),
}
"""Language → module and class of its reader, imported at the first text of that language."""


def _loader(module: str, name: str) -> Callable[[], Reader]:
    def load() -> Reader:
        reader: Reader = getattr(import_module(f"voxswap_server.text.{module}"), name)()
        return reader

    return load


class TextFrontend:
    """Reads text in all languages. Each language loads at its first use, once; any thread may call it."""

    def __init__(self) -> None:
        self._readers = {language: Lazy(_loader(*place)) for language, place in _READERS.items()}
        self._run_finder = RunFinder()

    def segment(self, text: str, code: str, cut: CutMethod, *, collapse: bool = True) -> list[str]:
        """Cuts a text into utterances.

        Args:
            text: as the caller wrote it.
            code: upstream's language code (see `languages.upstream_code`).
            cut: where to cut.
            collapse: reduce runs of marks to their first; upstream does so unless it streams.

        Raises:
            RequestError: the text holds nothing to speak.
        """
        pieces = cuts.utterances(cuts.collapse_repeats(text) if collapse else text, code, cut)
        spoken = [piece for piece in pieces if piece.strip()]
        if not spoken:
            raise RequestError("text holds nothing to speak: it has no letter or digit", field="text")
        return spoken

    def analyse(self, segment: str, code: str, symbols: str) -> Utterance:
        """Phones of one utterance.

        Args:
            segment: one piece that `segment` gave.
            code: upstream's language code.
            symbols: the alphabet of the voice, "v1" or "v2".

        Raises:
            RequestError: nothing in it can be read in this language.
        """
        utterance = self._analyse(segment, code, symbols)
        if len(utterance.phones) < _SHORTEST_PHONES:
            utterance = self._analyse(f".{segment}", code, symbols)
        if not utterance.phones:
            raise RequestError(f"text {segment[:40]!r} holds nothing that {code!r} can read", field="text")
        return utterance

    def prompt(self, text: str, code: str, symbols: str) -> Utterance:
        """Phones of a reference audio's transcript: one utterance, with a final stop.

        Raises:
            RequestError: as `analyse`.
        """
        text = text.strip("\n")
        if text and text[-1] not in cuts.SPLITTERS:
            text += cuts.final_stop(code)
        return self.analyse(text, code, symbols)

    def _analyse(self, segment: str, code: str, symbols: str) -> Utterance:
        alphabet = SYMBOLS[symbols]
        runs: list[Run] = []
        dropped: set[str] = set()
        for language, text in self._run_finder.runs(_BLANKS.sub(" ", segment), code):
            reading = self._readers[language].get().read(text, symbols)
            dropped |= reading.dropped
            known = tuple(phone if phone in alphabet else "UNK" for phone in reading.phones)
            runs.append(Run(language, reading.norm_text, known, reading.word2ph))
        return Utterance(
            text=segment,
            norm_text="".join(run.norm_text for run in runs),
            phones=tuple(row for run in runs for row in alphabet.ids(run.phones)),
            runs=tuple(runs),
            notices=_notices(dropped),
        )


def _notices(dropped: set[str]) -> tuple[Notice, ...]:
    if not dropped:
        return ()
    shown = "".join(sorted(dropped)[:_LISTED_CHARACTERS])
    more = f" and {len(dropped) - _LISTED_CHARACTERS} more" if len(dropped) > _LISTED_CHARACTERS else ""
    return (Notice("CHARACTERS_NOT_READ", f"characters that this language cannot read were left out: {shown!r}{more}"),)
