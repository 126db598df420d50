"""What the canonical line of a request says of its speech, the same through every transport.

Knows nothing of transports: each shows the events of its stream as they pass.
"""

from voxswap_server.domain import CacheState, Notice, StreamStarted, SynthesisDone
from voxswap_server.logs import annotate


class SpeechOnRecord:
    """One stream."""

    def __init__(self) -> None:
        self._rate_hz = 1
        self._notices: dict[str, None] = {}

    def show(self, event: object) -> None:
        """An event passes; those that say nothing for the record are let through."""
        if isinstance(event, StreamStarted):
            self._rate_hz = event.sample_rate_hz
            annotate(swap=event.cache_state is not CacheState.DEVICE, load_s=event.load_ms / 1e3)
        elif isinstance(event, Notice):
            self._notices[event.code] = None
            annotate(notices=list(self._notices))  # also those that the transport could not pass on any more
        elif isinstance(event, SynthesisDone):
            annotate(
                utterances=event.utterances,
                audio_s=event.samples / self._rate_hz,
                ttfa_s=event.ttfa_ms / 1e3,
                rtf=event.rtf,
                queue_s=event.queue_ms / 1e3,
                underrun_s=event.underrun_ms / 1e3,
            )
