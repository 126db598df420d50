"""What was sent of one answer: numbers its chunks, and tells the metrics and the trace of them.

Knows nothing of codecs, of voices or of who listens.
"""

from dataclasses import dataclass
from typing import Protocol

from voxswap_server.domain import AudioChunk, SynthesisDone
from voxswap_server.engine.output import Encoded
from voxswap_server.engine.playback import Playback
from voxswap_server.logs import current_trace_id
from voxswap_server.tracing import NO_TRACING, Tracing


class SentMetrics(Protocol):
    """What the chunks of an answer add to the numbers."""

    def first_audio(self, seconds: float, *, warm: bool, trace_id: str = "") -> None: ...
    def audio(self, seconds: float) -> None: ...


@dataclass(slots=True)
class Sent:
    """The audio of one answer so far."""

    metrics: SentMetrics
    tracing: Tracing = NO_TRACING
    chunks: int = 0
    samples: int = 0
    """At the rate of the answer; those that a codec keeps for its next frame included."""
    ttfa_s: float | None = None
    """From the asking to the first chunk; None before it, or where nobody asked."""

    def book(
        self, encoded: Encoded, rate_hz: int, now_s: float, *, asked_s: float | None, warm: bool
    ) -> AudioChunk | None:
        """The next chunk; None where the codec keeps everything for its next frame.

        Args:
            encoded: its bytes.
            rate_hz: of the answer.
            now_s: reading of the clock.
            asked_s: reading at which the audio was asked for.
            warm: nobody had to wait for a voice.
        """
        start = self.samples
        self.samples += encoded.samples
        if not encoded.data:
            return None
        if not self.chunks and asked_s is not None:
            self.ttfa_s = now_s - asked_s
            self.metrics.first_audio(self.ttfa_s, warm=warm, trace_id=current_trace_id())
            self.tracing.event("first audio", ttfa_s=self.ttfa_s, warm=warm)
        self.metrics.audio(encoded.samples / rate_hz)
        self.chunks += 1
        return AudioChunk(encoded.data, start, encoded.samples, self.chunks - 1)

    def done(
        self,
        playback: Playback,
        *,
        made_s: float,
        took_s: float,
        utterances: int,
        semantic_tokens: int,
        queue_s: float = 0.0,
        retried: int = 0,
    ) -> SynthesisDone:
        """What is told of it once all was sent.

        Args:
            playback: by its listener.
            made_s: the audio that was made for it, heard or not.
            took_s: to make that.
            utterances: that were spoken.
            semantic_tokens: of them.
            queue_s: how long it waited for its turn.
            retried: utterances that were spoken twice.
        """
        return SynthesisDone(
            samples=self.samples,
            ttfa_ms=(self.ttfa_s or 0.0) * 1e3,
            rtf=took_s / made_s if made_s else 0.0,
            underrun_ms=playback.underrun_s * 1e3,
            queue_ms=queue_s * 1e3,
            utterances=utterances,
            semantic_tokens=semantic_tokens,
            retried_utterances=retried,
        )
