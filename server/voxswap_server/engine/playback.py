"""How far ahead of a listener a stream is, if it is played from its first chunk on without a pause.

Knows nothing of clocks or of audio, only of readings and lengths.
"""

from dataclasses import dataclass


@dataclass(slots=True)
class Playback:
    """A listener that begins with the first chunk and waits whenever it has played all there is."""

    started_s: float | None = None
    sent_s: float = 0.0
    dry_s: float | None = None
    """Reading when all that was sent has been played; None: it has not begun, or rests."""
    underrun_s: float = 0.0
    """How long the listener has waited in mid-stream, all together."""
    underruns: int = 0

    def sent(self, audio_s: float, now_s: float) -> None:
        """A chunk of `audio_s` seconds was handed over at the reading `now_s`."""
        if self.started_s is None:
            self.started_s = now_s
        if self.dry_s is None:
            self.dry_s = now_s
        elif self.dry_s < now_s:
            self.underrun_s += now_s - self.dry_s
            self.underruns += 1
            self.dry_s = now_s
        self.sent_s += audio_s
        self.dry_s += audio_s

    def told(self, left_s: float, now_s: float) -> None:
        """The listener says that it has so much left to play; one that rests has nothing."""
        if self.dry_s is not None:
            self.dry_s = now_s + left_s

    def rest(self) -> None:
        """Nothing is left to play, and nobody waits for more."""
        self.dry_s = None

    def lead_s(self, now_s: float) -> float:
        """How long the listener can still play what it has; below 0 it waits."""
        return 0.0 if self.dry_s is None else self.dry_s - now_s
