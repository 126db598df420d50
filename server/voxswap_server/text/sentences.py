"""Cuts sentences out of a text that is still being written, such as the tokens of a language model.

Knows nothing of languages, phones or of how a sentence is cut further (`cuts`). The sentences, joined, are the text:
nothing is dropped and nothing is changed.
"""

import re
from typing import Final

LONGEST_CHARS: Final = 400
"""Text without an end of sentence is cut here, where a clause or a word ends if one does."""

_CLOSING = "[\"'”’」』）)\\]»]*+"
# What was taken is never given back ("+" behind a repeat): long runs of marks or blanks would be tried at every length.
_END = re.compile(
    f"(?:[.!?…]++{_CLOSING}(?=[^\\S\\n])"  # a full stop inside a number or a name has no blank after it
    f"|[。！？]++[。！？!?…]*+{_CLOSING}(?=[^。！？!?…\"'”’」』）)\\]»])"
    "|\\n)\\s*+(?=\\S)"
)
_NO_END = re.compile(
    "(?:"
    r"(?<!\w)(?:Mr|Mrs|Ms|Dr|Prof|St|Mt|vs|cf|approx|Jr|Sr|No|Fig|e\.g|i\.e)"
    r"|(?<!\w)[A-Z]"  # an initial
    r"|(?:^|\n)\s*+\d+"  # the number of a list
    r")\.$"
)
_CLAUSE_END = re.compile(r"[,;:，；：、—]\s*+(?=\S)")
_BLANK = re.compile(r"\s++(?=\S)")
_LETTER = re.compile(r"\w")


class SentenceCutter:
    """Text in, whole sentences out."""

    def __init__(self) -> None:
        self._text = ""

    @property
    def waiting(self) -> str:
        """What is not yet a sentence."""
        return self._text

    def push(self, text: str) -> list[str]:
        """Adds a piece and returns the sentences that are complete with it.

        An end of sentence counts once something follows it: until then "3." may become "3.14". What holds no letter
        and no digit goes with the sentence after it, unless it is too long for one.
        """
        self._text += text
        sentences, start = [], 0
        while (end := _end(self._text[start : start + LONGEST_CHARS + 1])) is not None:
            sentences.append(self._text[start : start + end])
            start += end
        self._text = self._text[start:]
        return sentences

    def flush(self) -> list[str]:
        """The rest as a sentence; none where there is nothing to speak. Nothing waits any more."""
        rest, self._text = self._text, ""
        return [rest] if _LETTER.search(rest) else []


def _end(text: str) -> int | None:
    """Where the first sentence ends; None while that is not known.

    Args:
        text: as much as a sentence may have and one character more, which tells whether an end is one.
    """
    letter = _LETTER.search(text)
    for match in _END.finditer(text, letter.end()) if letter else ():
        if not _NO_END.search(text[: match.end()].rstrip()):
            return match.end()
    return _forced(text) if len(text) > LONGEST_CHARS else None


def _forced(text: str) -> int:
    """Of a text that is too long: the last end of a clause, else of a word, else of what is allowed."""
    for pattern in (_CLAUSE_END, _BLANK):
        ends = [match.end() for match in pattern.finditer(text, 0, LONGEST_CHARS)]
        if ends and _LETTER.search(text[: ends[-1]]):
            return ends[-1]
    return LONGEST_CHARS
