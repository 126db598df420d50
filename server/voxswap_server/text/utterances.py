"""What the front-end is asked for and hands out: a script of lines, and utterances of runs with their phones.

Knows nothing of how a text is cut or read.
"""

from dataclasses import dataclass

from voxswap_server.domain import Notice
from voxswap_server.text.pronunciations import PLAIN, Lexicon


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
    words: tuple[tuple[str, int], ...] = ()
    """Words with their phones, where it reads by word (en)."""
    notices: tuple[Notice, ...] = ()
    """Why it is not read as well as it could be."""

    @property
    def units(self) -> tuple[tuple[str, int], ...]:
        """The smallest pieces of the text whose phones are known, with how many; together they have all phones."""
        if self.word2ph is not None:
            return tuple(zip(self.norm_text, self.word2ph, strict=False))
        return self.words or ((self.norm_text, len(self.phones)),)


@dataclass(frozen=True, slots=True)
class Utterance:
    """What the model is asked to say in one go."""

    text: str
    norm_text: str
    phones: tuple[int, ...]
    """Rows of the alphabet's embedding."""
    runs: tuple[Run, ...]
    notices: tuple[Notice, ...] = ()
    """What of the text cannot be heard, or not as well as it could be."""


@dataclass(frozen=True, slots=True)
class Line:
    """An utterance and the silence after it."""

    text: str
    """What `analyse` takes; "" where there is only silence."""
    pause_ms: int | None = None
    """As a mark of the text says; None is the usual pause."""


@dataclass(frozen=True, slots=True)
class Script:
    """What a text asks for, in order."""

    lines: tuple[Line, ...]
    notices: tuple[Notice, ...] = ()
    """What of the text is in no line."""


@dataclass(frozen=True, slots=True)
class Manner:
    """How a request wants its text to be read."""

    lexicon: Lexicon = PLAIN
    spell_out: bool = True
    """Write numbers, dates, units and the like in words first."""
