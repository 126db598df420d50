"""What a live stream may take, and what follows from it for its pace and for the messages that it reads.

Knows nothing of voices or of who listens.
"""

from collections.abc import Iterable
from dataclasses import dataclass

from voxswap_server.domain_live import LiveMessage, LiveText
from voxswap_server.engine.live.agenda import pieces
from voxswap_server.engine.live.stage import StageConfig


@dataclass(frozen=True, slots=True)
class LiveLimits:
    """Limits of live streams."""

    max_streams: int = 64
    """At once; one more is refused."""
    max_waiting_characters: int = 20_000
    """Text that may wait to be spoken; while there is more, the client's messages are not read."""
    max_ahead_s: float = 10.0
    """Audio that is sent ahead of a playhead, where the client does not say how much."""
    max_made_s: float = 6.0
    """Audio of one sentence that may be ready and not sent."""
    chunk_s: float = 0.1
    """Audio of one chunk; what is not sent yet can still be changed."""
    margin_s: float = 0.2
    """A new voice is waited for while the listener has more than this left to play."""


def pace(limits: LiveLimits, rate_hz: int, asked_s: float | None) -> StageConfig:
    """How far a stage of this rate is ahead of its listener, who asked for `asked_s`; None: for nothing."""
    ahead_s = limits.max_ahead_s if asked_s is None else asked_s
    return StageConfig(
        chunk_samples=max(1, int(limits.chunk_s * rate_hz)),
        ahead_samples=max(1, int(ahead_s * rate_hz)),
        paced=asked_s is not None,
        margin_s=limits.margin_s,
    )


def parts(message: LiveMessage) -> Iterable[LiveMessage]:
    """A long text is taken in bit by bit: no message is more than what may wait, or holds up other streams."""
    return map(LiveText, pieces(message.text)) if isinstance(message, LiveText) else (message,)
