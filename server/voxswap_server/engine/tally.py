"""What has been made and sent of one request so far, and what is told of it at its end.

Knows nothing of how speech is made, nor of clocks: it is given their readings.
"""

from dataclasses import dataclass, field

from voxswap_server.domain import AudioChunk, SynthesisDone
from voxswap_server.engine.estimates import Demand
from voxswap_server.engine.output import Encoded
from voxswap_server.engine.playback import Playback
from voxswap_server.engine.sent import Sent


@dataclass(slots=True)
class Tally:
    accepted_s: float
    """Reading of the clock when it came."""
    sent: Sent
    demand: Demand | None
    """What was expected of it, which is told how far it is; None where nobody knew."""
    queue_s: float
    """How long it waited for its turn."""
    made_samples: int = 0
    """As they are made: before the asked rate."""
    utterances: int = 0
    semantic_tokens: int = 0
    retried: int = 0
    device_s: float = 0.0
    """What its job took of the device."""
    playback: Playback = field(default_factory=Playback)
    """Of what was sent."""

    def chunk(self, encoded: Encoded, rate_hz: int, now_s: float, *, warm: bool) -> AudioChunk | None:
        """Books what is sent now; None where the codec keeps all of it for its next frame.

        Args:
            encoded: the audio.
            rate_hz: of the answer.
            now_s: reading of the clock.
            warm: nobody had to wait for the voice.
        """
        chunk = self.sent.book(encoded, rate_hz, now_s, asked_s=self.accepted_s, warm=warm)
        if self.demand is not None:
            self.demand.spoken_s = self.sent.samples / rate_hz
        if chunk is not None:
            self.playback.sent(chunk.samples / rate_hz, now_s)
        return chunk

    def done(self, rate_hz: int, now_s: float) -> SynthesisDone:
        """How it went, once all was sent."""
        return self.sent.done(
            self.playback,
            made_s=self.sent.samples / rate_hz,
            took_s=now_s - self.accepted_s - self.queue_s,
            queue_s=self.queue_s,
            utterances=self.utterances,
            semantic_tokens=self.semantic_tokens,
            retried=self.retried,
        )
