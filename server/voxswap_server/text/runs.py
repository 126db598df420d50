"""Finds the language runs of an utterance, for each of upstream's eleven codes.

Knows nothing of phones. What a detector answers is corrected by script and by neighbours (upstream `LangSegmenter`):
kana is Japanese, Hangul is Korean, ASCII with a letter is English, numbers and unknown pieces follow a neighbour.
"""

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import Final

from voxswap_server.text.detector import NUMBER, UNKNOWN, LanguageDetector, Piece

_ENGLISH = re.compile(r"(?=.*[A-Za-z])[\s\x20-\x7e\u2000-\u206f\u3000-\u303f\uff00-\uffef]+")
_FILLING = r"[0-9、-〜。！？.!?… ]+"
_KANA = r"[\u3041-\u3096\u3099\u309a\u30a1-\u30fa\u30fc]"
_HANGUL = r"[\u1100-\u11ff\u3130-\u318f\uac00-\ud7af]"
_SCRIPTS = tuple(
    (language, re.compile(f"({script}+(?:{_FILLING}{script}*)*)"))
    for language, script in (("ja", _KANA), ("ko", _HANGUL))
)
_NOT_CHINESE = re.compile(
    r"[^0-9、-〜。！？.!?… /\u3400-\u4db5\u4e00-\u9fff"
    r"\U00020000-\U0002a6df\U0002a700-\U0002ebef\U0002ebf0-\U0002ee5d\U00030000-\U000323af]+"
)
"""What is left out of a piece that only its ideographs make Chinese."""
_STOPS = frozenset(",.!?，。！？")


@dataclass(frozen=True, slots=True)
class _Rule:
    """How one code finds its runs."""

    detect: bool = True
    """False: the whole text is `latin`."""
    everything: str | None = None
    """The language of all that is not Latin, whatever the detector says."""
    chinese: str = "zh"
    """What Chinese text is spoken as."""
    two_kinds: bool = False
    """Detect first, then keep only the difference between Latin and the rest."""


_RULES: Final[Mapping[str, _Rule]] = MappingProxyType(
    {
        "en": _Rule(detect=False),
        "auto": _Rule(),
        "auto_yue": _Rule(chinese="yue"),
        "all_zh": _Rule(everything="zh"),
        "all_yue": _Rule(everything="zh", chinese="yue"),
        "all_ja": _Rule(everything="ja"),
        "all_ko": _Rule(everything="ko"),
        **{code: _Rule(two_kinds=True, everything=code) for code in ("zh", "ja", "ko", "yue")},
    }
)


class RunFinder:
    """Finds runs. Its detector loads at the first text that needs it; any thread may call it."""

    def __init__(self) -> None:
        self._detector = LanguageDetector()

    def runs(self, text: str, code: str) -> list[tuple[str, str]]:
        """(language, text) of each run, in order; neighbours have different languages. Marks and letters may lack.

        Args:
            text: one utterance.
            code: upstream's language code.
        """
        rule = _RULES[code]
        if not rule.detect:
            return [("en", text)]
        found = self.detected(text, code)
        if rule.two_kinds:
            kinds = [Piece("en" if piece.language == "en" else str(rule.everything), piece.text) for piece in found]
        else:
            kinds = [Piece(rule.chinese, piece.text) if piece.language == "zh" else piece for piece in found]
        return [(piece.language, piece.text) for piece in _joined(kinds)]

    def detected(self, text: str, code: str) -> list[Piece]:
        """Pieces by language (en, zh, ja, ko) before the code decides what they are spoken as."""
        rule = _RULES[code]
        everything = None if rule.two_kinds else rule.everything
        named: list[Piece] = []
        for piece in self._detector.pieces(text):
            if piece.language == NUMBER:
                named.append(Piece(everything or NUMBER, piece.text))
            elif _ENGLISH.fullmatch(piece.text):
                named.append(Piece("en", piece.text))
            elif everything is not None:
                named.append(Piece(everything, piece.text))
            else:
                named.extend(_by_script(piece))
        return _name_unknown(_name_numbers(_joined(named)))


def _append(pieces: list[Piece], language: str, text: str) -> None:
    """Adds a piece, or lengthens the last one where the language is the same."""
    if pieces and pieces[-1].language == language:
        text = pieces.pop().text + text
    pieces.append(Piece(language, text))


def _joined(pieces: Iterable[Piece]) -> list[Piece]:
    joined: list[Piece] = []
    for piece in pieces:
        _append(joined, piece.language, piece.text)
    return joined


def _by_script(piece: Piece) -> list[Piece]:
    """Cuts out kana and Hangul; of unknown text that is left, what can be Chinese is."""
    parts = [piece]
    for language, pattern in _SCRIPTS:
        parts = [
            cut
            for part in parts
            for cut in ([part] if part.language == language else _cut_out(part, language, pattern))
        ]
    return [_if_chinese(part) if part.language == UNKNOWN else part for part in parts]


def _if_chinese(piece: Piece) -> Piece:
    text = _NOT_CHINESE.sub("", piece.text)
    return Piece("zh", text) if text else piece


def _cut_out(piece: Piece, language: str, pattern: re.Pattern[str]) -> list[Piece]:
    """Splits by a pattern of one group: odd places are its matches."""
    return [
        Piece(language if place % 2 else piece.language, text)
        for place, text in enumerate(pattern.split(piece.text))
        if text
    ]


def _name_numbers(pieces: Sequence[Piece]) -> list[Piece]:
    named: list[Piece] = []
    for place, piece in enumerate(pieces):
        left = named[-1] if named else None
        right = pieces[place + 1] if place + 1 < len(pieces) else None
        language = _number_language(left, piece, right) if piece.language == NUMBER else piece.language
        _append(named, language, piece.text)
    return named


def _number_language(left: Piece | None, number: Piece, right: Piece | None) -> str:
    if left is None or right is None:
        neighbour = left or right
        return neighbour.language if neighbour else "zh"
    if left.language == right.language or (left.text[-1] not in _STOPS and right.text[0] in _STOPS):
        return left.language
    if left.text[-1] in _STOPS:
        return right.language
    if number.text[-1] in {"。", "."} or len(left.text) >= len(right.text):
        return left.language
    return right.language


def _name_unknown(pieces: Sequence[Piece]) -> list[Piece]:
    named: list[Piece] = []
    for piece in pieces:
        language = piece.language
        if language == UNKNOWN:
            language = named[-1].language if named else pieces[1].language if len(pieces) > 1 else "zh"
        _append(named, language, piece.text)
    return named
