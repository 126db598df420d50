"""What of the text the listener has heard. Knows nothing of messages, voices or synthesis."""

import re
from collections.abc import Iterable
from dataclasses import dataclass, field

from voxswap_server.engine.live.take import Sentence, Take

_WORD = re.compile("[\u3040-\u30ff\u3400-\u9fff]|[^\\W\u3040-\u30ff\u3400-\u9fff]+")
_CHARS_PER_S = 20.0
_BETWEEN_WORDS_S = 0.12
"""Rough rates of speech: English at 160 words a minute, Chinese at 6 characters a second."""


@dataclass(slots=True)
class Placed:
    """A take in its place in the stream."""

    take: Take
    start_sample: int
    rate_hz: int
    """Of the stream."""
    cut_sample: int | None = None
    """Of the stream, where another voice took over."""

    def heard_whole(self, heard_samples: int) -> bool:
        """To the end of its sentence."""
        over = self.take.spent and self.cut_sample is None
        return over and heard_samples >= self.start_sample + self.take.sent

    def heard_chars(self, heard_samples: int) -> int:
        """End of the last word of the sentence that was heard in it; 0 for none."""
        if self.heard_whole(heard_samples):
            return len(self.take.sentence.text)
        last = heard_samples if self.cut_sample is None else min(heard_samples, self.cut_sample)
        take, position = self.take, last - self.start_sample
        if not take.is_aligned and position > take.utterance_end:
            return self._estimated((position - take.utterance_end) / self.rate_hz)
        return max((word.end_char for word in take.words if word.end_sample <= position), default=0)

    def _estimated(self, seconds: float) -> int:
        """As far as people usually speak in so much time, of the utterance whose words are not placed yet."""
        done = self.take.words[-1].end_char if self.take.words else 0
        for word in _WORD.finditer(self.take.sentence.text, max(done, self.take.start_char)):
            seconds -= (len(word[0]) / _CHARS_PER_S + _BETWEEN_WORDS_S) / self.take.speaking_rate
            if seconds < 0:
                break
            done = word.end()
        return done


@dataclass(slots=True)
class Programme:
    """Takes in the order of their sending, of the sentences that are not wholly heard."""

    rate_hz: int
    placed: list[Placed] = field(default_factory=list)

    def place(self, take: Take, start_sample: int) -> None:
        self.placed.append(Placed(take, start_sample, self.rate_hz))

    def cut(self, sample: int) -> None:
        """The last take goes no further than this sample of the stream."""
        self.placed[-1].cut_sample = sample

    def heard(self, heard_samples: int) -> None:
        """Forgets the sentences that were heard to their end, but never the take that is being sent."""
        self.placed = [*self._unheard(self.placed[:-1], heard_samples), *self.placed[-1:]]

    def texts(self, heard_samples: int, later: Iterable[Sentence], rest: str) -> tuple[str, str]:
        """(heard, not heard) of the sentences that are not wholly heard, of those that come later, and of the rest."""
        reached: dict[Sentence, int] = {}
        for one in self._unheard(self.placed, heard_samples):
            sentence = one.take.sentence
            reached[sentence] = max(reached.get(sentence, 0), one.heard_chars(heard_samples))
        last = max((sentence.number for sentence, chars in reached.items() if chars), default=-1)
        heard = unheard = ""
        for sentence, chars in reached.items():
            split = len(sentence.text) if sentence.number < last else chars
            heard += sentence.text[:split]
            unheard += sentence.text[split:]
        return heard, unheard + "".join(sentence.text for sentence in later) + rest

    @staticmethod
    def _unheard(placed: list[Placed], heard_samples: int) -> list[Placed]:
        whole = {one.take.sentence.number for one in placed if one.heard_whole(heard_samples)}
        return [one for one in placed if one.take.sentence.number not in whole]
