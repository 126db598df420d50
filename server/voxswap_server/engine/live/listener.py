"""Where the listener of a live stream is: by its playheads, or as one who plays what comes without a pause.

Knows nothing of voices or text; of time, only the readings that it is given.
"""

from dataclasses import dataclass, field

from voxswap_server.engine.playback import Playback


@dataclass(slots=True)
class Listener:
    rate_hz: int
    sent_samples: int = 0
    playhead: int | None = None
    """The last that was told."""
    playback: Playback = field(default_factory=Playback)
    """What it has left to play, and how long it waited in mid-speech."""

    def sent(self, samples: int, now_s: float) -> None:
        """So much more was sent."""
        self.sent_samples += samples
        self.playback.sent(samples / self.rate_hz, now_s)

    def told(self, sample: int, now_s: float) -> None:
        """A playhead came. One that lies behind an earlier one, or beyond what was sent, is taken at its limit."""
        self.playhead = max(self.playhead or 0, min(sample, self.sent_samples))
        self.playback.told((self.sent_samples - self.playhead) / self.rate_hz, now_s)

    def rest(self, now_s: float) -> None:
        """There is nothing to say for now: when it runs dry, nobody is late."""
        if self.playback.lead_s(now_s) <= 0:
            self.playback.rest()

    def dropped(self) -> None:
        """It threw away what it had not played yet."""
        self.playback.rest()

    @property
    def heard_samples(self) -> int:
        """All that was sent, where it never told."""
        return self.sent_samples if self.playhead is None else self.playhead
