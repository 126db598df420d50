"""What has been made and sent of one live stream so far, and what is told of it at its end.

Knows nothing of how speech is made, nor of clocks: it is given their readings.
"""

from dataclasses import dataclass

from voxswap_server.domain import AudioChunk, SynthesisDone
from voxswap_server.engine.output import Encoded
from voxswap_server.engine.sent import Sent


@dataclass(slots=True)
class LiveTally:
    sent: Sent
    load_ms: float = 0.0
    """What its first voice took to come."""
    asked_s: float | None = None
    """Reading of the clock when the first take was asked for."""
    utterances: int = 0
    semantic_tokens: int = 0
    made_s: float = 0.0
    """Audio, heard or not."""
    took_s: float = 0.0
    """To make it."""

    def chunk(self, encoded: Encoded, rate_hz: int, now_s: float) -> AudioChunk | None:
        """Books what is sent now; None where the codec keeps all of it for its next frame.

        Args:
            encoded: the audio.
            rate_hz: of the stream.
            now_s: reading of the clock.
        """
        return self.sent.book(encoded, rate_hz, now_s, asked_s=self.asked_s, warm=self.load_ms == 0)

    def done(self, underrun_s: float) -> SynthesisDone:
        """How it went, once all was sent.

        Args:
            underrun_s: how long the listener waited.
        """
        return SynthesisDone(
            samples=self.sent.samples,
            ttfa_ms=(self.sent.ttfa_s or 0.0) * 1e3,
            rtf=self.took_s / self.made_s if self.made_s else 0.0,
            underrun_ms=underrun_s * 1e3,
            queue_ms=0.0,
            utterances=self.utterances,
            semantic_tokens=self.semantic_tokens,
        )
