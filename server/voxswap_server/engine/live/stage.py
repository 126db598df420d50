"""A live stream as a state machine: messages and samples go in, events and samples come out.

Knows nothing of asyncio, threads, networks or codecs, and reads no clock: whoever drives it gives the readings. What
it needs done it asks of its `Backstage`, which answers later by the methods of the middle section.
"""

from collections import deque
from dataclasses import dataclass
from typing import Protocol

from voxswap_server.domain import Notice, Timestamp, Timestamps
from voxswap_server.domain_live import (
    CancelUtterance,
    Flush,
    LiveEvent,
    LiveMessage,
    LiveText,
    Playhead,
    SetSpeakingRate,
    SwitchPoint,
    SwitchVoice,
    UtteranceCancelled,
    VoiceChanged,
)
from voxswap_server.engine.job import Samples
from voxswap_server.engine.live.fade import equal_power
from voxswap_server.engine.live.heard import Programme
from voxswap_server.engine.live.listener import Listener
from voxswap_server.engine.live.switching import AT_END, Aim, Switch, soon_after, take_aim
from voxswap_server.engine.live.take import Cast, Sentence, Take, Word
from voxswap_server.errors import RequestError, VoxswapError
from voxswap_server.text.sentences import SentenceCutter

_PATIENT_MISSES = 2
"""After so many boundaries the listener waits for the new voice, whatever the gap."""


class Backstage(Protocol):
    """What a stage asks of its surroundings. Nothing answers before the call has returned."""

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


@dataclass(frozen=True, slots=True)
class StageConfig:
    """How one stream is paced."""

    chunk_samples: int
    """Sent at once; what is not sent yet can still be changed."""
    ahead_samples: int
    """Sent ahead of the listener's playhead."""
    paced: bool
    """Before the first playhead the listener is taken to be at sample 0; else there is no limit until it comes."""
    margin_s: float
    """A new voice is waited for while the listener has more than this left to play."""


class Stage:
    """One live stream.

    Args:
        cast: the voice that it begins with, ready.
        rate_hz: of the stream.
        speaking_rate: > 1 is faster.
        backstage: does what the stage asks for.
        config: pace.
    """

    def __init__(
        self, cast: Cast, rate_hz: int, speaking_rate: float, backstage: Backstage, config: StageConfig
    ) -> None:
        self.listener = Listener(rate_hz)
        self.switches = 0
        self.failure: VoxswapError | None = None
        """What ends the stream."""
        self.wake_s: float | None = None
        """Reading of the clock at which the stage wants to be asked again, though nothing came in."""
        self._cast = cast
        self._speaking_rate = speaking_rate
        self._backstage = backstage
        self._config = config
        self._cutter = SentenceCutter()
        self._sentences = 0
        self._queue: deque[Sentence] = deque()
        self._programme = Programme(rate_hz)
        self._outputs: deque[LiveEvent] = deque()
        self._noticed: set[Notice] = set()
        self._current: Take | None = None
        self._next: Take | None = None
        """The next sentence, in the voice of the present one."""
        self._rival: Take | None = None
        """What the new voice makes ready."""
        self._switch: Switch | None = None
        self._aim: Aim | None = None
        self._closed = False

    # --- what the client says ----------------------------------------------------------------------------------

    def take_in(self, message: LiveMessage, now_s: float) -> None:
        match message:
            case LiveText():
                self.text(message.text)
            case Flush():
                self.flush()
            case SwitchVoice():
                self.switch(message)
            case SetSpeakingRate():
                self.set_speaking_rate(message.speaking_rate)
            case CancelUtterance():
                self.cancel()
            case Playhead():
                self.playhead(message.sample, now_s)

    def text(self, piece: str) -> None:
        self._enqueue(self._cutter.push(piece))

    def flush(self) -> None:
        self._enqueue(self._cutter.flush())

    def end(self) -> None:
        """No more messages will come."""
        self.flush()
        self._closed = True

    def switch(self, asked: SwitchVoice) -> None:
        """The new voice is made ready at once, whenever it is to be heard. A switch replaces one that still waits.

        While it loads the present voice goes on; but where nothing was to be said, the next sentence waits for it.
        """
        if self._switch is not None:
            self._abandon_switch(Notice("SWITCH_REPLACED", f"the switch to {self._switch.cast.voice_id!r} never came"))
        cast, idle = Cast(asked.voice_id), self._current is None and not (self._queue or self._cutter.waiting)
        self._switch = Switch(cast, asked.at, asked.crossfade_ms * self.listener.rate_hz // 1000, awaited=idle)
        self._backstage.lease(cast)

    def set_speaking_rate(self, rate: float) -> None:
        self._speaking_rate = rate

    def cancel(self) -> None:
        """Stops all takes and forgets all text. A switch that waits still comes."""
        heard, sent = self.listener.heard_samples, self.listener.sent_samples
        later = [*([self._next.sentence] if self._next else ()), *self._queue]
        spoken, unspoken = self._programme.texts(heard, later, self._cutter.waiting)
        for take in (self._current, self._next):
            if take is not None:
                self._backstage.stop(take)
        self._drop_rival()
        self._current = self._next = None
        self._queue.clear()
        self._cutter.flush()
        self._programme = Programme(self.listener.rate_hz)
        self.listener.dropped()
        self._outputs.append(UtteranceCancelled(spoken, unspoken, heard, sent))

    def playhead(self, sample: int, now_s: float) -> None:
        self.listener.told(sample, now_s)
        self._programme.heard(self.listener.heard_samples)

    @property
    def waiting_chars(self) -> int:
        """Text that no take speaks yet."""
        return len(self._cutter.waiting) + sum(len(sentence.text) for sentence in self._queue)

    @property
    def speaking(self) -> bool:
        """Whether a sentence is being sent, or made to be."""
        return self._current is not None

    @property
    def finished(self) -> bool:
        """Nothing will come any more."""
        return self._closed and not (self._outputs or self._current or self._next or self._queue)

    # --- what the backstage answers ----------------------------------------------------------------------------

    def cast_ready(self, cast: Cast) -> None:
        cast.ready = True

    def cast_failed(self, cast: Cast, error: VoxswapError) -> None:
        """The present voice goes on, and the client is warned."""
        if self._switch is not None and cast is self._switch.cast:
            self._abandon_switch(
                Notice(error.reason, f"{self._cast.voice_id!r} goes on: the switch did not happen: {error.message}")
            )

    def audio(self, take: Take, samples: Samples) -> None:
        take.reel.push(samples)

    def aligned(self, take: Take, words: list[Word], stamps: tuple[Timestamp, ...]) -> None:
        """Words and timestamps of the take's next utterance, in samples of the take."""
        take.aligned(words)
        if stamps:
            take.stamps.append(stamps)

    def utterance_spoken(self, take: Take, samples: int) -> None:
        take.utterance_spoken(samples)

    def take_ended(self, take: Take) -> None:
        take.ended = True

    def take_failed(self, take: Take, error: VoxswapError) -> None:
        """A sentence that cannot be read is left out; a new voice that cannot speak is not switched to."""
        if isinstance(error, RequestError) and error.field == "text":
            self.notice(Notice(error.reason, error.message))
            take.ended = True
        elif take is self._rival and self._switch is not None:
            self.cast_failed(self._switch.cast, error)
        elif take is self._current or take is self._next:
            self.failure = error

    def notice(self, notice: Notice) -> None:
        """Tells the client, once."""
        if notice not in self._noticed:
            self._noticed.add(notice)
            self._outputs.append(notice)

    # --- what comes out ----------------------------------------------------------------------------------------

    def next_output(self, now_s: float) -> LiveEvent | Samples | None:
        """The next event, or samples to send now; None while there is nothing.

        Raises:
            VoxswapError: the stream failed.
        """
        if self.failure is not None:
            raise self.failure
        if not self._outputs:
            self._advance(now_s)
        if self._outputs:
            return self._outputs.popleft()
        return self._told() or self._samples(now_s)

    def _told(self) -> Timestamps | None:
        take = self._current
        if take is None or not take.stamps:
            return None
        start = self._programme.placed[-1].start_sample
        return Timestamps(
            tuple(
                Timestamp(one.kind, one.label, start + one.start_sample, start + one.end_sample)
                for one in take.stamps.popleft()
            )
        )

    def _samples(self, now_s: float) -> Samples | None:
        take = self._current
        if take is None:
            return None
        count = min(take.reel.size, self._config.chunk_samples, self._room(), self._reach(take) - take.sent)
        if count <= 0:
            return None
        samples = take.reel.take(count)
        take.sent += count
        self.listener.sent(count, now_s)
        return samples

    def _room(self) -> int:
        """How much the listener's pace allows; once the client has said its last, nothing can be changed any more."""
        if self._closed or (self.listener.playhead is None and not self._config.paced):
            return self._config.chunk_samples
        return (self.listener.playhead or 0) + self._config.ahead_samples - self.listener.sent_samples

    def _reach(self, take: Take) -> int:
        """How far the present take may be sent before the new voice has come in."""
        if self._aim is None or self._switch is None:
            return take.received
        if self._aim.begin is None:
            faded = self._switch.crossfade_samples if self._rival is not None else 0
            return max(take.sent, take.received - faded)
        if self._aim.exact:
            return self._aim.begin.sample
        return self._aim.until.sample if self._aim.until else take.received

    # --- takes -------------------------------------------------------------------------------------------------

    def _enqueue(self, texts: list[str]) -> None:
        for text in texts:
            self._queue.append(Sentence(self._sentences, text))
            self._sentences += 1

    def _begin(self, sentence: Sentence, start_char: int, cast: Cast) -> Take:
        take = Take(sentence, start_char, cast, self._speaking_rate)
        self._backstage.start(take)
        return take

    def _advance(self, now_s: float) -> None:
        """Starts, ends and exchanges whatever the moment asks for."""
        self.wake_s = None
        if self._switch is not None and self._switch.cast.ready:
            self._steer(self._switch, now_s)
        if self._current is not None and self._current.spent and self._rival is None:
            self._current = None
            self._programme.heard(self.listener.heard_samples)
        if self._current is None:
            self._enter(now_s)
        elif self._next is None and self._queue and self._current.ended and not self._switch_is_ready():
            self._next = self._begin(self._queue.popleft(), 0, self._cast)

    def _enter(self, now_s: float) -> None:
        """The next sentence comes on; or a switch, where there is none."""
        if self._next is None and not self._queue:
            self.listener.rest(now_s)
            if self._switch is not None and self._switch.cast.ready:
                self._become(self._switch)
            elif self._switch is not None and self._closed:
                self._abandon_switch(Notice("SWITCH_NOT_REACHED", "the text ended before the new voice was ready"))
            return
        if self._next is None:
            self.listener.rest(now_s)
        if self._switch is not None and self._switch.awaited and not self._switch.cast.ready:
            return
        take, self._next = self._next or self._begin(self._queue.popleft(), 0, self._cast), None
        self._current = take
        self._programme.place(take, self.listener.sent_samples)

    def _switch_is_ready(self) -> bool:
        return self._switch is not None and self._switch.cast.ready

    # --- switching ---------------------------------------------------------------------------------------------

    def _steer(self, switch: Switch, now_s: float) -> None:
        """Brings the new voice in, or makes it ready to come."""
        current = self._current
        if current is None or not (current.received or current.ended):
            self._replace_unheard(switch)
            return
        if self._aim is None:
            self._aim = take_aim(switch, current, self._next.sentence.number if self._next else None)
        if self._aim is None or not self._rival_begun(current, self._aim):
            if current.spent and self._next is None and not self._queue:
                self._become(switch)
            return
        if self._is_due(current, self._aim):
            if self._is_armed(switch):
                self._cut_over(switch, current)
            elif self._aim.soon:
                if self._is_stale(current, self._aim):
                    self._steer(switch, now_s)
            else:
                self._wait_or_miss(switch, current, self._aim, now_s)

    def _replace_unheard(self, switch: Switch) -> None:
        """Nothing of the present take can be heard yet, so the new voice speaks it."""
        current, self._current = self._current, None
        self._become(switch)
        if current is not None:
            self._backstage.stop(current)
            self._queue.appendleft(current.sentence)
            self._programme.placed.pop()

    def _rival_begun(self, current: Take, aim: Aim) -> bool:
        if self._rival is None and self._switch is not None:
            cast = self._switch.cast
            if aim.begin is not None:
                self._rival = self._begin(current.sentence, aim.begin.char, cast)
            elif self._next is not None:
                self._rival = self._begin(self._next.sentence, 0, cast)
            elif self._queue:
                self._rival = self._begin(self._queue[0], 0, cast)
        return self._rival is not None

    def _is_due(self, current: Take, aim: Aim) -> bool:
        """The new voice may come in with the next sample."""
        if current.spent or aim.soon:
            return True
        if aim.begin is None:
            return current.ended and current.sent >= self._reach(current)
        return current.sent >= aim.begin.sample

    def _is_armed(self, switch: Switch) -> bool:
        rival = self._rival
        return rival is not None and (rival.ended or rival.reel.size >= max(1, switch.crossfade_samples))

    def _wait_or_miss(self, switch: Switch, current: Take, aim: Aim, now_s: float) -> None:
        """The new voice may come in and is not there yet: the present one goes on before the listener runs dry."""
        reserve = current if aim.begin is not None else self._next
        spare_s = self.listener.lead_s(now_s) - self._config.margin_s
        if spare_s > 0:
            self.wake_s = now_s + spare_s
        elif switch.misses < _PATIENT_MISSES and reserve is not None and reserve.reel.size:
            self._miss(switch, current, aim)

    def _miss(self, switch: Switch, current: Take, aim: Aim) -> None:
        switch.misses += 1
        if aim.begin is None:
            switch.missed_sentence = self._next.sentence.number if self._next else current.sentence.number
        else:
            switch.missed_sentence, switch.missed_sample = current.sentence.number, current.sent
        if aim.begin is not None and switch.at is SwitchPoint.NOW:
            self._aim = soon_after(current, aim.begin)  # what it speaks is still right
        else:
            self._drop_rival()

    def _is_stale(self, current: Take, aim: Aim) -> bool:
        """Whether the rival would only say again what was heard; then it is dropped, to begin anew further on."""
        if aim.until is None and aim.begin is not None:
            aim = self._aim = soon_after(current, aim.begin)  # another boundary may have become known
        if aim.until is not None and current.sent >= aim.until.sample:
            self._drop_rival()
            self._aim = Aim(aim.until, exact=True)
        elif current.spent:
            self._drop_rival()
            self._aim = AT_END
        return self._aim is None or not self._aim.soon

    def _cut_over(self, switch: Switch, old: Take) -> None:
        """The new voice comes in with the next sample."""
        rival = self._rival
        if rival is None:
            return
        fade = min(switch.crossfade_samples, old.reel.size, rival.reel.size)
        if fade:
            rival.reel.push_back(equal_power(old.reel.take(fade), rival.reel.take(fade)))
        self._programme.cut(self.listener.sent_samples)
        self._backstage.stop(old)
        self._rival = None
        if self._queue and self._queue[0] is rival.sentence:
            self._queue.popleft()
        self._become(switch, spoken=rival.sentence)
        self._current = rival
        self._programme.place(rival, self.listener.sent_samples)

    def _become(self, switch: Switch, spoken: Sentence | None = None) -> None:
        """From the next sample on the stream has the new voice. `spoken` has a take in it already."""
        if self._next is not None:
            self._backstage.stop(self._next)
            if self._next.sentence is not spoken:
                self._queue.appendleft(self._next.sentence)
            self._next = None
        self._drop_rival()
        cast, old = switch.cast, self._cast
        self._switch, self._cast = None, cast
        self.switches += 1
        self._outputs.append(
            VoiceChanged(cast.voice_id, self.listener.sent_samples, cast.generation, cast.cache_state, cast.load_ms)
        )
        self._backstage.release(old)

    def _drop_rival(self) -> None:
        if self._rival is not None:
            self._backstage.stop(self._rival)
        self._rival = self._aim = None

    def _abandon_switch(self, notice: Notice) -> None:
        if self._switch is not None:
            self._drop_rival()
            self._backstage.release(self._switch.cast)
            self._switch = None
            self._outputs.append(notice)
