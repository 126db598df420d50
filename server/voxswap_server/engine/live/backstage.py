"""What a live stream's stage asks of its surroundings. Knows nothing of who does it, or how."""

from typing import Protocol

from voxswap_server.engine.live.take import Cast, Take


class Backstage(Protocol):
    """Does what the stage asks for. Nothing answers before the call has returned."""

    def lease(self, cast: Cast) -> None:
        """Makes a voice ready: `Stage.cast_ready` or `Stage.cast_failed` follows, unless it is released before."""
        ...

    def release(self, cast: Cast) -> None:
        """No take of it is asked for any more; it may go once the last one was let go of."""
        ...

    def start(self, take: Take) -> None:
        """Begins to speak: audio, words, and `take_ended` or `take_failed` follow, unless it is stopped before."""
        ...

    def stop(self, take: Take) -> None:
        """Lets go of a take at the next step of the device; stopping one that has ended does nothing."""
        ...
