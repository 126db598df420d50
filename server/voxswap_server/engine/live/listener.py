"""Where the listener of a live stream is: by its playheads, or as one who plays what comes without a pause.

Knows nothing of voices or text; of time, only the readings that it is given.
"""

from dataclasses import dataclass


@dataclass(slots=True)
class Listener:
    rate_hz: int
    sent_samples: int = 0
    playhead: int | None = None
    """The last that was told."""
    underrun_s: float = 0.0
    """How long it waited in mid-speech, all together."""
    underruns: int = 0
    _dry_s: float | None = None
    """Reading of the clock at which it has played all that was sent; None: it has not begun, or rests."""

    def sent(self, samples: int, now_s: float) -> None:
        """So much more was sent."""
        if self._dry_s is None:
            self._dry_s = now_s
        elif self._dry_s < now_s:
            self.underrun_s += now_s - self._dry_s
            self.underruns += 1
            self._dry_s = now_s
        self.sent_samples += samples
        self._dry_s += samples / self.rate_hz

    def told(self, sample: int, now_s: float) -> None:
        """A playhead came. One that lies behind an earlier one, or beyond what was sent, is taken at its limit."""
        self.playhead = max(self.playhead or 0, min(sample, self.sent_samples))
        if self._dry_s is not None:
            self._dry_s = now_s + (self.sent_samples - self.playhead) / self.rate_hz

    def rest(self, now_s: float) -> None:
        """There is nothing to say for now: when it runs dry, nobody is late."""
        if self.lead_s(now_s) <= 0:
            self._dry_s = None

    def dropped(self) -> None:
        """It threw away what it had not played yet."""
        self._dry_s = None

    def lead_s(self, now_s: float) -> float:
        """How long it can still play what it has."""
        return 0.0 if self._dry_s is None else self._dry_s - now_s

    @property
    def heard_samples(self) -> int:
        """All that was sent, where it never told."""
        return self.sent_samples if self.playhead is None else self.playhead
