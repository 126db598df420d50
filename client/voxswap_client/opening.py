"""The beginning of a stream, up to which it may be tried again.

Knows nothing of calls.
"""

from collections.abc import Sequence

from voxswap_client.speech import AudioChunk, SpeechEvent


class Opening:
    """Holds the events before the first audio back, so that a try that fails before it leaves no trace."""

    def __init__(self) -> None:
        self._held: list[SpeechEvent] = []
        self.heard = False
        """Audio has passed: from now on nothing may be said twice."""

    def admit(self, event: SpeechEvent) -> Sequence[SpeechEvent]:
        """What may be passed on now that this event has come."""
        if self.heard:
            return (event,)
        self._held.append(event)
        self.heard = isinstance(event, AudioChunk)
        return self.rest() if self.heard else ()

    def rest(self) -> Sequence[SpeechEvent]:
        """What is still held, at the end of a stream without audio."""
        held, self._held = self._held, []
        return held
