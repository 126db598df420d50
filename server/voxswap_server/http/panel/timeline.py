"""Where the listeners of a session are: a clock that runs while there is something to hear.

Knows nothing of what is heard. All listeners are taken to hear the same thing at the same time, a journey late.
"""

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

LEVEL_S = 0.02
QUIETEST_DB, LOUDEST_DB = -50.0, -12.0
"""Root mean square over full scale at which a mouth is shut, and wide open."""


class Timeline:
    """Samples that were sent, and how many of them were heard.

    Args:
        rate_hz: of the samples.
        clock: monotonic seconds.
    """

    def __init__(self, rate_hz: int, clock: Callable[[], float]) -> None:
        self._rate_hz = rate_hz
        self._clock = clock
        self._until_s = 0.0
        """When all that was sent will have been heard."""
        self._left_s: float | None = None
        """While it is paused: what is still to be heard."""
        self.sent = 0

    @property
    def ahead_s(self) -> float:
        """Audio that was sent and not yet heard."""
        return max(0.0, self._until_s - self._clock()) if self._left_s is None else self._left_s

    @property
    def heard(self) -> int:
        """The sample that is heard now."""
        return self.sent - round(self.ahead_s * self._rate_hz)

    @property
    def paused(self) -> bool:
        return self._left_s is not None

    def send(self, samples: int) -> None:
        ahead_s = self.ahead_s + samples / self._rate_hz
        self.sent += samples
        self._set(ahead_s)

    def flush(self) -> None:
        """What was sent and not heard never will be."""
        self._set(0.0)

    def pause(self) -> None:
        self._left_s = self.ahead_s

    def resume(self) -> None:
        left_s, self._left_s = self.ahead_s, None
        self._set(left_s)

    def _set(self, ahead_s: float) -> None:
        if self._left_s is None:
            self._until_s = self._clock() + ahead_s
        else:
            self._left_s = ahead_s


def levels(pcm: NDArray[np.int16], rate_hz: int) -> list[float]:
    """How far a mouth is open, 0 to 1, for each `LEVEL_S` of samples `(n,)`; the last one may be of fewer."""
    step = round(LEVEL_S * rate_hz)
    found = []
    for start in range(0, pcm.size, step):
        piece = pcm[start : start + step].astype(np.float64) / 32768
        loudness_db = 10 * np.log10(float(np.mean(piece**2)) + 1e-12)
        open_by = (loudness_db - QUIETEST_DB) / (LOUDEST_DB - QUIETEST_DB)
        found.append(round(min(1.0, max(0.0, open_by)), 3))
    return found
