"""Cuts a text into utterances, exactly as upstream's six cut methods and its `pre_seg_text` do.

Knows nothing of languages beyond which full stop they write, nor of phones. Where upstream's rules are odd (a full
stop after a digit never cuts, a group of four clauses may hold eight), they are kept: the cut decides what the model
hears as one sentence.
"""

import re
from collections.abc import Callable, Iterable, Mapping
from typing import Final

from voxswap_server.domain import CutMethod
from voxswap_server.errors import RequestError

SPLITTERS: Final = frozenset("，。？！,.?!~:：—…")
"""Characters that end a clause."""

_SILENT = frozenset("!?…,.- ")
"""A piece of these alone is not worth an utterance."""
_PUNCTUATION_CUTS = frozenset(",.;?!、，。？！：…")
_CLAUSES_PER_GROUP = 4
_LONG_ENOUGH_CHARS = 50
_SHORTEST_CHARS = 5
_LONGEST_CHARS = 510
_SHORT_START_CHARS = 4

_REPEATED_MARK = re.compile(r"([!?…,.\-])[!?…,.\-]+")
_SPLITTER = re.compile(f"([{re.escape(''.join(sorted(SPLITTERS)))}])")
_ENGLISH_STOP = re.compile(r"(?<!\d)\.(?!\d)")
_NOT_WORD = re.compile(r"\W+")
_BLANK_LINES = re.compile(r"\n{2,}")


def collapse_repeats(text: str) -> str:
    """Keeps the first of a run of ASCII marks and ellipses ("?!..." becomes "?")."""
    return _REPEATED_MARK.sub(r"\1", text)


def final_stop(code: str) -> str:
    """The full stop that upstream appends, by upstream's language code."""
    return "." if code == "en" else "。"


def cut(text: str, method: CutMethod) -> list[str]:
    """Pieces of a text, in order, without those of ASCII punctuation only.

    Pieces may hold newlines of the text. An empty list means that nothing but punctuation was there.
    """
    return _METHODS[method](text)


def utterances(text: str, code: str, method: CutMethod) -> list[str]:
    """Utterances of a text: cut, short pieces merged, a final stop on each (upstream `pre_seg_text`).

    Args:
        text: as the caller wrote it; run `collapse_repeats` first, as upstream does when it does not stream.
        code: upstream's language code ("en", "all_zh", ...), for the full stop.
        method: where to cut.

    Returns:
        Utterances of at most 510 characters (longer only without any splitter); empty when no piece has a letter.

    Raises:
        RequestError: every piece is blank after the cut.
    """
    text = text.strip("\n")
    if not text:
        return []
    stop = final_stop(code)
    if text[0] not in SPLITTERS and len(_SPLITTER.split(text, maxsplit=1)[0].strip()) < _SHORT_START_CHARS:
        text = stop + text
    lines = _BLANK_LINES.sub("\n", "\n".join(cut(text, method))).split("\n")
    if all(line in {"", " "} for line in lines):
        raise RequestError("text holds nothing to speak after cutting: only punctuation or blanks", field="text")
    spoken = []
    for piece in _merge_short([line for line in lines if line not in {"", " "}]):
        if not _NOT_WORD.sub("", piece):
            continue
        closed = piece if piece[-1] in SPLITTERS else piece + stop
        spoken.extend(_split_long(closed) if len(closed) > _LONGEST_CHARS else [closed])
    return spoken


def _audible(pieces: Iterable[str], silent: frozenset[str] = _SILENT) -> list[str]:
    return [piece for piece in pieces if not silent.issuperset(piece)]


def _clauses(text: str) -> list[str]:
    """Every clause with its splitter; doubled ellipses and dashes count as one stop and one comma."""
    text = text.replace("……", "。").replace("——", "，")
    if text[-1] not in SPLITTERS:
        text += "。"
    parts = _SPLITTER.split(text)
    return [clause + splitter for clause, splitter in zip(parts[::2], parts[1::2], strict=False)]


def _whole(text: str) -> list[str]:
    return _audible([text])


def _groups_of_four(text: str) -> list[str]:
    text = text.strip("\n")
    clauses = _clauses(text) if text else []
    if len(clauses) <= _CLAUSES_PER_GROUP:
        return _audible([text])
    starts = list(range(0, len(clauses), _CLAUSES_PER_GROUP))[:-1]
    ends = [*starts[1:], len(clauses)]  # the last group absorbs the remainder
    return _audible("".join(clauses[start:end]) for start, end in zip(starts, ends, strict=True))


def _about_fifty(text: str) -> list[str]:
    text = text.strip("\n")
    clauses = _clauses(text) if text else []
    if len(clauses) < 2:
        return [text]
    pieces = [""]
    for clause in clauses:
        if len(pieces[-1]) > _LONG_ENOUGH_CHARS:
            pieces.append("")
        pieces[-1] += clause
    if len(pieces) > 1 and len(pieces[-1]) < _LONG_ENOUGH_CHARS:
        last = pieces.pop()
        pieces[-1] += last
    return _audible(pieces)


def _at_chinese_stops(text: str) -> list[str]:
    return _audible(text.strip("\n").strip("。").split("。"))


def _at_english_stops(text: str) -> list[str]:
    return _audible(_ENGLISH_STOP.split(text.strip("\n").strip(".")))


def _at_punctuation(text: str) -> list[str]:
    text = text.strip("\n")
    pieces = [""]
    for position, char in enumerate(text):
        pieces[-1] += char
        if char in _PUNCTUATION_CUTS and not _is_decimal_point(text, position):
            pieces.append("")
    return _audible(pieces, _PUNCTUATION_CUTS)


def _is_decimal_point(text: str, position: int) -> bool:
    inside = 0 < position < len(text) - 1
    return text[position] == "." and inside and text[position - 1].isdigit() and text[position + 1].isdigit()


_METHODS: Mapping[CutMethod, Callable[[str], list[str]]] = {
    CutMethod.NONE: _whole,
    CutMethod.FOUR_SENTENCES: _groups_of_four,
    CutMethod.FIFTY_CHARACTERS: _about_fifty,
    CutMethod.CHINESE_STOP: _at_chinese_stops,
    CutMethod.ENGLISH_STOP: _at_english_stops,
    CutMethod.PUNCTUATION: _at_punctuation,
}


def _merge_short(pieces: list[str]) -> list[str]:
    """Joins pieces until each has `_SHORTEST_CHARS`; a short tail goes to the piece before it."""
    if len(pieces) < 2:
        return pieces
    merged: list[str] = []
    pending = ""
    for piece in pieces:
        pending += piece
        if len(pending) >= _SHORTEST_CHARS:
            merged.append(pending)
            pending = ""
    if pending and merged:
        merged[-1] += pending
    elif pending:
        merged.append(pending)
    return merged


def _split_long(text: str) -> list[str]:
    """Re-splits at splitters so that each piece has at most `_LONGEST_CHARS`, where a splitter allows it.

    As upstream, the first piece is empty when the first clause alone is too long.
    """
    pieces = [""]
    for part in _SPLITTER.split(text):
        if len(pieces[-1]) + len(part) > _LONGEST_CHARS:
            pieces.append("")
        pieces[-1] += part
    return pieces if pieces[-1] else pieces[:-1]
