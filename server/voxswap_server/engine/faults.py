"""Signs that a model has lost itself, seen in its tokens and in its samples.

Knows nothing of networks, of requests or of what follows. Every check is a few operations a token or a chunk; the
limits are wide of what people say, so what crosses them is no speech. docs/STREAMING.md has the table.
"""

import numpy as np
from numpy.typing import NDArray

from voxswap_server.errors import DegenerateAudio

RUNAWAY_TOKENS = 50
RUNAWAY_TOKENS_PER_PHONE = 12
"""An utterance of P phones may have `RUNAWAY_TOKENS + RUNAWAY_TOKENS_PER_PHONE * P` tokens; people need 2 to 4."""
LOOP_PERIODS = 40
"""Longest period, in tokens, that is looked for."""
LOOP_TOKENS = 75
"""A tail that repeats itself for so long (3 s), three times at least, is a loop."""
COLLAPSE_TOKENS = 60
"""One token so often in a row (2.4 s) is no sound of speech."""
SILENCE_PEAK = 1e-3
"""An utterance that never gets louder (-60 dB) is silence."""


class TokenWatch:
    """Looks at the tokens of one utterance as they are drawn.

    Args:
        phones: of the utterance.
    """

    def __init__(self, phones: int) -> None:
        self._limit = RUNAWAY_TOKENS + RUNAWAY_TOKENS_PER_PHONE * phones
        self._phones = phones
        self._recent = np.full(LOOP_PERIODS, -1)
        """The last tokens, the newest first."""
        self._repeats = np.zeros(LOOP_PERIODS, np.int64)
        """For each period, how many of the last tokens equal the one a period before them."""
        self._needed = np.maximum(LOOP_TOKENS, 3 * np.arange(1, LOOP_PERIODS + 1)) - np.arange(1, LOOP_PERIODS + 1)
        self._needed[0] = COLLAPSE_TOKENS - 1
        self._seen = 0

    def see(self, token: int) -> None:
        """Takes the next token.

        Raises:
            DegenerateAudio: runaway, loop or collapse.
        """
        self._seen += 1
        self._repeats = np.where(self._recent == token, self._repeats + 1, 0)
        self._recent = np.concatenate(((token,), self._recent[:-1]))
        if self._repeats[0] >= self._needed[0]:
            raise DegenerateAudio(
                f"one semantic token came {COLLAPSE_TOKENS} times in a row, at token {self._seen}", fault="collapse"
            )
        looping = np.flatnonzero(self._repeats >= self._needed)
        if looping.size:
            period = int(looping[0]) + 1
            raise DegenerateAudio(
                f"the last {int(self._needed[period - 1]) + period} semantic tokens repeat the same {period}",
                fault="loop",
            )
        if self._seen > self._limit:
            raise self.runaway()

    def runaway(self) -> DegenerateAudio:
        """What an utterance is that does not end."""
        return DegenerateAudio(f"{self._seen} semantic tokens for {self._phones} phones, and no end", fault="runaway")


class SoundWatch:
    """Listens to the samples of one utterance as they are made."""

    def __init__(self) -> None:
        self.samples = 0
        self._peak = 0.0

    def hear(self, samples: NDArray[np.float32]) -> None:
        """Takes the next piece (n,), before anyone else hears it.

        Raises:
            DegenerateAudio: it holds NaN or infinity.
        """
        if not samples.size:
            return
        peak = float(np.abs(samples).max())
        if not np.isfinite(peak):
            raise DegenerateAudio("the decoder made samples that are no numbers", fault="not_finite")
        self._peak = max(self._peak, peak)
        self.samples += samples.size

    def end(self) -> None:
        """That was the utterance.

        Raises:
            DegenerateAudio: it was silence.
        """
        if self.samples and self._peak < SILENCE_PEAK:
            raise DegenerateAudio("the decoder made nothing but silence", fault="silence")
