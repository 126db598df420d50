"""A live stream as a state machine: messages and samples go in, events and samples come out.

Knows nothing of asyncio, threads, networks or codecs, and reads no clock: whoever drives it gives the readings. What
it needs done it asks of its `Backstage`, which answers later by the methods of the middle section. What stands on the
stage is in its `scene`; how a voice takes over from another is its `changeover`.
"""

from dataclasses import dataclass

from voxswap_server.domain import Notice, Timestamp, Timestamps
from voxswap_server.domain_live import (
    CancelUtterance,
    Flush,
    LiveEvent,
    LiveMessage,
    LiveText,
    Playhead,
    SetSpeakingRate,
    SwitchVoice,
)
from voxswap_server.engine.job import Samples
from voxswap_server.engine.live.backstage import Backstage
from voxswap_server.engine.live.changeover import Changeover
from voxswap_server.engine.live.scene import Scene
from voxswap_server.engine.live.take import Cast, Take, Word
from voxswap_server.errors import RequestError, VoxswapError


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
        self.failure: VoxswapError | None = None
        """What ends the stream."""
        self.deaf = False
        """What the client says is not read for now, its playheads included: it is taken to play without a pause."""
        self._config = config
        self._scene = Scene(cast, rate_hz, speaking_rate, backstage)
        self._changeover = Changeover(self._scene, config.margin_s)
        self._noticed: set[Notice] = set()
        self._closed = False
        self._room_s: float | None = None
        """Reading of the clock when a listener whose playheads are not read has room for another chunk."""
        self.listener = self._scene.listener

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
        self._scene.agenda.push(piece)

    def flush(self) -> None:
        self._scene.agenda.flush()

    def end(self) -> None:
        """No more messages will come."""
        self.flush()
        self._closed = True

    def switch(self, asked: SwitchVoice) -> None:
        """The new voice is made ready at once, whenever it is to be heard. A switch replaces one that still waits.

        While it loads the present voice goes on; but where nothing was to be said, the next sentence waits for it.
        """
        self._changeover.ask(asked)

    def set_speaking_rate(self, rate: float) -> None:
        self._scene.speaking_rate = rate

    def cancel(self) -> None:
        """Stops all takes and forgets all text. A switch that waits still comes."""
        cancelled = self._scene.clear()
        self._changeover.drop_rival()
        self._scene.outputs.append(cancelled)

    def playhead(self, sample: int, now_s: float) -> None:
        self.listener.told(sample, now_s)
        self._scene.programme.heard(self.listener.heard_samples)

    @property
    def waiting_chars(self) -> int:
        """Text that no take speaks yet."""
        return self._scene.agenda.chars

    @property
    def speaking(self) -> bool:
        """Whether a sentence is being sent, or made to be."""
        return self._scene.current is not None

    @property
    def switches(self) -> int:
        """Changes of voice so far."""
        return self._changeover.done

    @property
    def wake_s(self) -> float | None:
        """Reading of the clock at which the stage wants to be asked again, though nothing came in."""
        moments = [moment for moment in (self._changeover.wake_s, self._room_s) if moment is not None]
        return min(moments, default=None)

    @property
    def finished(self) -> bool:
        """Nothing will come any more."""
        scene = self._scene
        return self._closed and not (scene.outputs or scene.current or scene.next or scene.agenda.sentences)

    # --- what the backstage answers ----------------------------------------------------------------------------

    def cast_ready(self, cast: Cast) -> None:
        cast.ready = True

    def cast_failed(self, cast: Cast, error: VoxswapError) -> None:
        """The present voice goes on, and the client is warned."""
        self._changeover.failed(cast, error)

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
        elif self._changeover.is_rival(take):
            self._changeover.failed(take.cast, error)
        elif take is self._scene.current or take is self._scene.next:
            self.failure = error

    def notice(self, notice: Notice) -> None:
        """Tells the client, once."""
        if notice not in self._noticed:
            self._noticed.add(notice)
            self._scene.outputs.append(notice)

    # --- what comes out ----------------------------------------------------------------------------------------

    def next_output(self, now_s: float) -> LiveEvent | Samples | None:
        """The next event, or samples to send now; None while there is nothing.

        Raises:
            VoxswapError: the stream failed.
        """
        if self.failure is not None:
            raise self.failure
        outputs = self._scene.outputs
        if not outputs:
            self._advance(now_s)
        if outputs:
            return outputs.popleft()
        return self._told() or self._samples(now_s)

    def _told(self) -> Timestamps | None:
        take = self._scene.current
        if take is None or not take.stamps:
            return None
        start = self._scene.programme.placed[-1].start_sample
        return Timestamps(
            tuple(
                Timestamp(one.kind, one.label, start + one.start_sample, start + one.end_sample)
                for one in take.stamps.popleft()
            )
        )

    def _samples(self, now_s: float) -> Samples | None:
        take, self._room_s = self._scene.current, None
        if take is None:
            return None
        reach = self._changeover.reach(take)
        count = min(take.reel.size, self._config.chunk_samples, self._room(now_s), reach - take.sent)
        if count <= 0:
            return None
        samples = take.reel.take(count)
        take.sent += count
        self.listener.sent(count, now_s)
        return samples

    def _room(self, now_s: float) -> int:
        """How much the listener's pace allows; once the client has said its last, nothing can be changed any more."""
        if self._closed or (self.listener.playhead is None and not self._config.paced):
            return self._config.chunk_samples
        room = (self.listener.playhead or 0) + self._config.ahead_samples - self.listener.sent_samples
        return self._reckoned_room(now_s) if self.deaf and room <= 0 else room

    def _reckoned_room(self, now_s: float) -> int:
        """By the clock: a pace that waited for playheads which wait behind text would wait for ever."""
        ahead, rate_hz = self._config.ahead_samples, self.listener.rate_hz
        chunk = min(self._config.chunk_samples, ahead)
        room = ahead - max(0, round(self.listener.playback.lead_s(now_s) * rate_hz))
        if room >= chunk:
            return room
        self._room_s = now_s + (chunk - room) / rate_hz
        return 0

    # --- takes -------------------------------------------------------------------------------------------------

    def _advance(self, now_s: float) -> None:
        """Starts, ends and exchanges whatever the moment asks for."""
        scene, changeover = self._scene, self._changeover
        changeover.advance(now_s)
        if scene.current is not None and scene.current.spent and not changeover.has_begun:
            scene.leave()
        if scene.current is None:
            self._enter(now_s)
        elif scene.next is None and scene.agenda.sentences and scene.current.ended and not changeover.is_ready:
            scene.next = scene.begin_following()

    def _enter(self, now_s: float) -> None:
        """The next sentence comes on; or a switch, where there is none."""
        scene = self._scene
        if scene.next is None:
            self.listener.rest(now_s)
            if not scene.agenda.sentences:
                self._changeover.at_rest(closed=self._closed)
                return
        if self._changeover.is_awaited:
            return
        take, scene.next = scene.next or scene.begin_following(), None
        scene.enter(take)
