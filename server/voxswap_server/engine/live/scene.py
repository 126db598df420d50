"""What is on the stage of a live stream at a moment: the voice that has it, the takes, and what comes after them.

The state that `stage` and `changeover` work on, with the steps that keep it whole. Knows nothing of messages, of the
listener's pace or of when a voice is exchanged.
"""

from collections import deque

from voxswap_server.domain_live import LiveEvent, UtteranceCancelled
from voxswap_server.engine.live.agenda import Agenda
from voxswap_server.engine.live.backstage import Backstage
from voxswap_server.engine.live.heard import Programme
from voxswap_server.engine.live.listener import Listener
from voxswap_server.engine.live.take import Cast, Sentence, Take


class Scene:
    """The state of one stream.

    Args:
        cast: the voice that it begins with, ready.
        rate_hz: of the stream.
        speaking_rate: > 1 is faster.
        backstage: makes takes and holds voices.
    """

    def __init__(self, cast: Cast, rate_hz: int, speaking_rate: float, backstage: Backstage) -> None:
        self.cast = cast
        self.speaking_rate = speaking_rate
        self.backstage = backstage
        self.listener = Listener(rate_hz)
        self.agenda = Agenda()
        self.programme = Programme(rate_hz)
        self.outputs: deque[LiveEvent] = deque()
        """Events that were not told yet."""
        self.current: Take | None = None
        """The one that is being sent."""
        self.next: Take | None = None
        """The next sentence, in the voice of the present one."""

    @property
    def idle(self) -> bool:
        """There is nothing to say."""
        return self.current is None and self.agenda.empty

    def begin(self, sentence: Sentence, start_char: int, cast: Cast, *, cued: bool = False) -> Take:
        """Has a take made."""
        take = Take(sentence, start_char, cast, self.speaking_rate, cued)
        self.backstage.start(take)
        return take

    def begin_following(self) -> Take:
        """Has the first sentence of the agenda made, in the voice that has the stage."""
        return self.begin(self.agenda.sentences.popleft(), 0, self.cast)

    def enter(self, take: Take) -> None:
        """It is sent from the next sample on."""
        self.current = take
        self.programme.place(take, self.listener.sent_samples)

    def leave(self) -> None:
        """The present take was sent whole."""
        self.current = None
        self.programme.heard(self.listener.heard_samples)

    def withdraw(self) -> None:
        """Nothing of the present take was sent, and its sentence is to be said anew."""
        take, self.current = self.current, None
        if take is not None:
            self.backstage.stop(take)
            self.agenda.sentences.appendleft(take.sentence)
            self.programme.placed.pop()

    def clear(self) -> UtteranceCancelled:
        """Stops both takes and forgets all text; returns what was heard of it and what was not."""
        heard, sent = self.listener.heard_samples, self.listener.sent_samples
        later = [*([self.next.sentence] if self.next else ()), *self.agenda.sentences]
        spoken, unspoken = self.programme.texts(heard, later, self.agenda.rest)
        for take in (self.current, self.next):
            if take is not None:
                self.backstage.stop(take)
        self.current = self.next = None
        self.agenda.clear()
        self.programme = Programme(self.listener.rate_hz)
        self.listener.dropped()
        return UtteranceCancelled(spoken, unspoken, heard, sent)
