"""Cuts sentences out of a text that is still being written, such as the tokens of a language model.

Knows nothing of languages, phones or of how a sentence is cut further (`cuts`). The sentences, joined, are the text:
nothing is dropped and nothing is changed.
"""

import re
from typing import Final

LONGEST_CHARS: Final = 400
"""Text without an end of sentence is cut here, where a clause or a word ends if one does."""

_CLOSING = "[\"'”’」』）)\\]»]*"
_END = re.compile(
    f"(?:[.!?…]+{_CLOSING}(?=[^\\S\\n])"  # a full stop inside a number or a name has no blank after it
    f"|[。！？]+[。！？!?…]*{_CLOSING}(?=[^。！？!?…\"'”’」』）)\\]»])"
    "|\\n)\\s*(?=\\S)"
)
_NO_END = re.compile(
    "(?:"
    r"(?<!\w)(?:Mr|Mrs|Ms|Dr|Prof|St|Mt|vs|cf|approx|Jr|Sr|No|Fig|e\.g|i\.e)"
    r"|(?<!\w)[A-Z]"  # an initial
    r"|(?:^|\n)\s*\d+"  # the number of a list
    r")\.$"
)
_CLAUSE_END = re.compile(r"[,;:，；：、—]\s*(?=\S)")
_BLANK = re.compile(r"\s+(?=\S)")
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
        and no digit goes with the sentence after it.
        """
        self._text += text
        sentences = []
        while (end := self._end()) is not None:
            sentences.append(self._text[:end])
            self._text = self._text[end:]
        return sentences

    def flush(self) -> list[str]:
        """The rest as a sentence; none where there is nothing to speak. Nothing waits any more."""
        rest, self._text = self._text, ""
        return [rest] if _LETTER.search(rest) else []

    def _end(self) -> int | None:
        letter = _LETTER.search(self._text)
        if letter is None:
            return None
        for match in _END.finditer(self._text, letter.end()):
            marks = self._text[: match.end()].rstrip()
            if not _NO_END.search(marks):
                return match.end() if match.end() <= LONGEST_CHARS else self._forced()
        return self._forced() if len(self._text) > LONGEST_CHARS else None

    def _forced(self) -> int:
        """Of a text that is too long: the last end of a clause, else of a word, else of what is allowed."""
        for pattern in (_CLAUSE_END, _BLANK):
            ends = [match.end() for match in pattern.finditer(self._text, 0, LONGEST_CHARS)]
            if ends and _LETTER.search(self._text[: ends[-1]]):
                return ends[-1]
        return LONGEST_CHARS
