"""A change of voice within a stream: from where the new voice speaks, and at which sample it is heard.

Pure decisions about one take: knows nothing of time, of messages or of how takes are made.

- NEXT_SENTENCE: the new voice speaks the next sentence, and is heard when the present one ends.
- NEXT_PHRASE: it speaks the rest of the sentence from the next boundary of a phrase, and is heard there.
- NOW: it speaks from the last boundary that was sent, and is heard as soon as it is ready, within a word if need be:
  words between the two are heard twice, never not at all. If the next boundary comes first, it speaks from there.
"""

from dataclasses import dataclass

from voxswap_server.domain_live import SwitchPoint
from voxswap_server.engine.live.take import Boundary, Cast, Take


@dataclass(slots=True)
class Switch:
    """A change that was asked for and has not happened yet."""

    cast: Cast
    at: SwitchPoint
    crossfade_samples: int
    awaited: bool
    """It was asked for while there was nothing to say: the text that comes after it is meant for the new voice."""
    misses: int = 0
    """Boundaries that came before the new voice was ready, while the listener had nothing left to wait with."""
    missed_sentence: int = -1
    """The last sentence whose beginning was missed."""
    missed_sample: int = -1
    """Of the present take: boundaries up to here were missed."""


@dataclass(frozen=True, slots=True)
class Aim:
    """What the new voice is made to speak, and when it may be heard."""

    begin: Boundary | None
    """Of the present take: from here on it speaks the sentence. None: it speaks the next one, when this take ends."""
    exact: bool = False
    """It is heard from the boundary's own sample; else as soon as it is ready."""
    until: Boundary | None = None
    """Of an aim as soon as it is ready: once this was sent, the aim is stale. None: it stands until the take's end."""

    @property
    def soon(self) -> bool:
        return self.begin is not None and not self.exact


AT_END = Aim(None)


def take_aim(switch: Switch, take: Take, following: int | None) -> Aim | None:
    """Where a voice that is loaded should come in; None: that is not known yet.

    Args:
        switch: what is asked for.
        take: the one that is being sent.
        following: number of the sentence that is already being made in the old voice, if there is one.
    """
    start = Boundary(take.start_char, 0)
    if not take.sent and take.sentence.number > switch.missed_sentence:
        return Aim(start, exact=True)
    if take.spent or switch.at is SwitchPoint.NEXT_SENTENCE:
        missed = following is not None and following <= switch.missed_sentence
        return None if missed else AT_END
    if switch.at is SwitchPoint.NOW:
        return soon_after(
            take, max((one for one in take.boundaries if one.sample <= take.sent), key=_place, default=start)
        )
    ahead = [one for one in take.boundaries if one.sample >= take.sent and one.sample > switch.missed_sample]
    if ahead:
        return Aim(ahead[0], exact=True)
    return AT_END if take.ended else None


def soon_after(take: Take, begin: Boundary) -> Aim:
    """As soon as the new voice is ready, speaking from a boundary that was sent."""
    return Aim(begin, until=next((one for one in take.boundaries if one.sample > begin.sample), None))


def _place(boundary: Boundary) -> int:
    return boundary.sample
