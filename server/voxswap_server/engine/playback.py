"""How far ahead of a listener a stream is, if it is played from its first chunk on without a pause.

Knows nothing of clocks or of audio, only of readings and lengths.
"""

from dataclasses import dataclass


@dataclass(slots=True)
class Playback:
    """A listener that begins with the first chunk and waits whenever it has played all there is."""

    accepted_s: float
    started_s: float | None = None
    sent_s: float = 0.0
    underrun_s: float = 0.0
    """How long the listener has waited in mid-stream, all together."""

    @property
    def dry_s(self) -> float | None:
        """Reading when all that was sent has been played; None before the first chunk."""
        return None if self.started_s is None else self.started_s + self.sent_s + self.underrun_s

    def sent(self, audio_s: float, now_s: float) -> None:
        """A chunk of `audio_s` seconds was handed over at the reading `now_s`."""
        if self.dry_s is None:
            self.started_s = now_s
        else:
            self.underrun_s += max(0.0, now_s - self.dry_s)
        self.sent_s += audio_s
