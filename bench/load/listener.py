"""One listener who plays what arrives as soon as it arrives.

Knows nothing of servers or of the clock: it is told when something happened.
"""

from dataclasses import dataclass, field


@dataclass(slots=True)
class Listener:
    """Playback begins with the first audio and halts whenever the next has not come yet."""

    asked_s: float
    """When the request was due, which is not later than when it was sent: waiting to be sent counts as waiting."""
    first_s: float | None = None
    last_s: float = 0.0
    heard_s: float = 0.0
    """Audio that has come."""
    underrun_s: float = 0.0
    """Silence that the listener sat through after the first audio."""
    underruns: int = 0
    gaps_s: list[float] = field(default_factory=list)
    """Between one piece of audio and the next."""

    def audio(self, now_s: float, duration_s: float) -> None:
        """A piece of audio has come."""
        if duration_s <= 0:
            return
        if self.first_s is None:
            self.first_s = now_s
        else:
            self.gaps_s.append(now_s - self.last_s)
            dry_s = self.first_s + self.heard_s + self.underrun_s
            if now_s > dry_s:
                self.underruns += 1
                self.underrun_s += now_s - dry_s
        self.last_s = now_s
        self.heard_s += duration_s

    @property
    def ttfa_s(self) -> float | None:
        """From when the request was due to its first audio; None: there was none."""
        return None if self.first_s is None else self.first_s - self.asked_s
