"""What has been made and sent of one live stream so far, and what is told of it at its end.

Knows nothing of how speech is made, nor of clocks: it is given their readings.
"""

from dataclasses import dataclass

from voxswap_server.domain import AudioChunk, SynthesisDone
from voxswap_server.engine.output import Encoded
from voxswap_server.engine.playback import Playback
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

    def done(self, playback: Playback) -> SynthesisDone:
        """How it went, once all was sent.

        Args:
            playback: by its listener.
        """
        return self.sent.done(
            playback,
            made_s=self.made_s,
            took_s=self.took_s,
            utterances=self.utterances,
            semantic_tokens=self.semantic_tokens,
        )
