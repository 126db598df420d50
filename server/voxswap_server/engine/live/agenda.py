"""What is still to be said: text as the client gives it, cut into sentences that wait for their turn.

Knows nothing of voices, of takes or of what was said before.
"""

from collections import deque
from collections.abc import Iterator
from typing import Final

from voxswap_server.engine.live.take import Sentence
from voxswap_server.text.sentences import SentenceCutter

PIECE_CHARS: Final = 1000


def pieces(text: str) -> Iterator[str]:
    """A text in pieces that are each cut into sentences in no time."""
    return (text[start : start + PIECE_CHARS] for start in range(0, len(text), PIECE_CHARS))


class Agenda:
    """Text in, sentences out, in order."""

    def __init__(self) -> None:
        self.sentences: deque[Sentence] = deque()
        """Those that are whole and have no take; one whose take is given up stands in front again."""
        self._cutter = SentenceCutter()
        self._cut = 0
        """Sentences so far."""

    def push(self, piece: str) -> None:
        self._enqueue(self._cutter.push(piece))

    def flush(self) -> None:
        """What was pushed is whole, whatever it ends with."""
        self._enqueue(self._cutter.flush())

    def clear(self) -> None:
        self.sentences.clear()
        self._cutter.flush()

    @property
    def rest(self) -> str:
        """What is not yet a sentence."""
        return self._cutter.waiting

    @property
    def empty(self) -> bool:
        return not (self.sentences or self.rest)

    @property
    def chars(self) -> int:
        return len(self.rest) + sum(len(sentence.text) for sentence in self.sentences)

    def _enqueue(self, texts: list[str]) -> None:
        for text in texts:
            self.sentences.append(Sentence(self._cut, text))
            self._cut += 1
