"""Carries out a change of voice within a stream: has the new voice speak, and exchanges the takes when it may come in.

Where it comes in is decided by `switching`. Knows nothing of messages or of what is sent when there is no change.
"""

from voxswap_server.domain import Notice
from voxswap_server.domain_live import SwitchPoint, SwitchVoice, VoiceChanged
from voxswap_server.engine.live.fade import equal_power
from voxswap_server.engine.live.scene import Scene
from voxswap_server.engine.live.switching import AT_END, Aim, Switch, soon_after, take_aim
from voxswap_server.engine.live.take import Cast, Sentence, Take
from voxswap_server.errors import VoxswapError

_PATIENT_MISSES = 2
"""After so many boundaries the listener waits for the new voice, whatever the gap."""


class Changeover:
    """The changes of one stream, one after another; most of the time there is none.

    Args:
        scene: what is being changed.
        margin_s: a new voice is waited for while the listener has more than this left to play.
    """

    def __init__(self, scene: Scene, margin_s: float) -> None:
        self.done = 0
        """Changes so far."""
        self.wake_s: float | None = None
        """Reading of the clock at which a voice that is late is not waited for any longer."""
        self._scene = scene
        self._margin_s = margin_s
        self._switch: Switch | None = None
        self._aim: Aim | None = None
        self._rival: Take | None = None
        """What the new voice makes ready."""

    @property
    def is_ready(self) -> bool:
        """A change was asked for, and its voice is loaded."""
        return self._switch is not None and self._switch.cast.ready

    @property
    def is_awaited(self) -> bool:
        """What is to be said is meant for a voice that still loads."""
        return self._switch is not None and self._switch.awaited and not self._switch.cast.ready

    @property
    def has_begun(self) -> bool:
        """The new voice has been asked to speak."""
        return self._rival is not None

    def is_rival(self, take: Take) -> bool:
        """Whether the new voice makes this take."""
        return take is self._rival and self._switch is not None

    def ask(self, asked: SwitchVoice) -> None:
        """The new voice is made ready at once; it takes the place of one that still waits."""
        if self._switch is not None:
            self._abandon(Notice("SWITCH_REPLACED", f"the switch to {self._switch.cast.voice_id!r} never came"))
        cast, scene = Cast(asked.voice_id), self._scene
        crossfade_samples = asked.crossfade_ms * scene.listener.rate_hz // 1000
        self._switch = Switch(cast, asked.at, crossfade_samples, awaited=scene.idle)
        scene.backstage.lease(cast)

    def failed(self, cast: Cast, error: VoxswapError) -> None:
        """This voice cannot be had or cannot speak: the present one goes on, and the client is warned."""
        if self._switch is not None and cast is self._switch.cast:
            old = self._scene.cast.voice_id
            self._abandon(Notice(error.reason, f"{old!r} goes on: the switch did not happen: {error.message}"))

    def advance(self, now_s: float) -> None:
        """Brings a voice in that is loaded, or makes it ready to come."""
        self.wake_s = None
        if self._switch is not None and self._switch.cast.ready:
            self._steer(self._switch, now_s)

    def at_rest(self, *, closed: bool) -> None:
        """There is nothing to say now; if `closed`, nothing will come any more."""
        if self._switch is not None and self._switch.cast.ready:
            self._become(self._switch)
        elif self._switch is not None and closed:
            self._abandon(Notice("SWITCH_NOT_REACHED", "the text ended before the new voice was ready"))

    def reach(self, take: Take) -> int:
        """How far the present take may be sent before the new voice has come in."""
        if self._aim is None or self._switch is None:
            return take.received
        if self._aim.begin is None:
            faded = self._switch.crossfade_samples if self._rival is not None else 0
            return max(take.sent, take.received - faded)
        if self._aim.exact:
            return self._aim.begin.sample
        return self._aim.until.sample if self._aim.until else take.received

    def drop_rival(self) -> None:
        """What the new voice has made ready is of no use any more."""
        if self._rival is not None:
            self._scene.backstage.stop(self._rival)
        self._rival = self._aim = None

    # --- coming in ---------------------------------------------------------------------------------------------

    def _steer(self, switch: Switch, now_s: float) -> None:
        scene, current = self._scene, self._scene.current
        if current is None or not (current.received or current.ended):
            self._become(switch)
            scene.withdraw()  # nothing of it can be heard yet, so the new voice speaks it
            return
        if self._aim is None:
            self._aim = take_aim(switch, current, scene.next.sentence.number if scene.next else None)
        if self._aim is None or not self._rival_begun(switch, current, self._aim):
            if current.spent and scene.next is None and not scene.agenda.sentences:
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

    def _rival_begun(self, switch: Switch, current: Take, aim: Aim) -> bool:
        if self._rival is None:
            scene, sentences = self._scene, self._scene.agenda.sentences
            if aim.begin is not None:
                self._rival = scene.begin(current.sentence, aim.begin.char, switch.cast, cued=True)
            elif scene.next is not None:
                self._rival = scene.begin(scene.next.sentence, 0, switch.cast)
            elif sentences:
                self._rival = scene.begin(sentences[0], 0, switch.cast)
        return self._rival is not None

    def _is_due(self, current: Take, aim: Aim) -> bool:
        """The new voice may come in with the next sample."""
        if current.spent or aim.soon:
            return True
        if aim.begin is None:
            return current.ended and current.sent >= self.reach(current)
        return current.sent >= aim.begin.sample

    def _is_armed(self, switch: Switch) -> bool:
        rival = self._rival
        return rival is not None and (rival.ended or rival.reel.size >= max(1, switch.crossfade_samples))

    def _cut_over(self, switch: Switch, old: Take) -> None:
        """The new voice comes in with the next sample."""
        rival, scene = self._rival, self._scene
        if rival is None:
            return
        fade = min(switch.crossfade_samples, old.reel.size, rival.reel.size)
        if fade:
            rival.reel.push_back(equal_power(old.reel.take(fade), rival.reel.take(fade)))
        scene.programme.cut(scene.listener.sent_samples)
        scene.backstage.stop(old)
        self._rival = None
        if scene.agenda.sentences and scene.agenda.sentences[0] is rival.sentence:
            scene.agenda.sentences.popleft()
        self._become(switch, spoken=rival.sentence)
        scene.enter(rival)

    def _become(self, switch: Switch, spoken: Sentence | None = None) -> None:
        """From the next sample on the stream has the new voice. `spoken` has a take in it already."""
        scene = self._scene
        if scene.next is not None:
            scene.backstage.stop(scene.next)
            if scene.next.sentence is not spoken:
                scene.agenda.sentences.appendleft(scene.next.sentence)
            scene.next = None
        self.drop_rival()
        cast, old = switch.cast, scene.cast
        self._switch, scene.cast = None, cast
        self.done += 1
        scene.outputs.append(
            VoiceChanged(cast.voice_id, scene.listener.sent_samples, cast.generation, cast.cache_state, cast.load_ms)
        )
        scene.backstage.release(old)

    # --- not coming in -----------------------------------------------------------------------------------------

    def _wait_or_miss(self, switch: Switch, current: Take, aim: Aim, now_s: float) -> None:
        """The new voice may come in and is not there yet: the present one goes on before the listener runs dry."""
        reserve = current if aim.begin is not None else self._scene.next
        spare_s = self._scene.listener.playback.lead_s(now_s) - self._margin_s
        if spare_s > 0:
            self.wake_s = now_s + spare_s
        elif switch.misses < _PATIENT_MISSES and reserve is not None and reserve.reel.size:
            self._miss(switch, current, aim)

    def _miss(self, switch: Switch, current: Take, aim: Aim) -> None:
        following = self._scene.next
        switch.misses += 1
        if aim.begin is None:
            switch.missed_sentence = following.sentence.number if following else current.sentence.number
        else:
            switch.missed_sentence, switch.missed_sample = current.sentence.number, current.sent
        if aim.begin is not None and switch.at is SwitchPoint.NOW:
            self._aim = soon_after(current, aim.begin)  # what it speaks is still right
        else:
            self.drop_rival()

    def _is_stale(self, current: Take, aim: Aim) -> bool:
        """Whether the rival would only say again what was heard; then it is dropped, to begin anew further on."""
        if aim.until is None and aim.begin is not None:
            aim = self._aim = soon_after(current, aim.begin)  # another boundary may have become known
        if aim.until is not None and current.sent >= aim.until.sample:
            self.drop_rival()
            self._aim = Aim(aim.until, exact=True)
        elif current.spent:
            self.drop_rival()
            self._aim = AT_END
        return self._aim is None or not self._aim.soon

    def _abandon(self, notice: Notice) -> None:
        if self._switch is not None:
            self.drop_rival()
            self._scene.backstage.release(self._switch.cast)
            self._switch = None
            self._scene.outputs.append(notice)
