"""Who speaks in a session, and who is about to. Knows nothing of audio, and waits for nothing."""

from dataclasses import dataclass


@dataclass(slots=True)
class VoiceDesk:
    """One voice has the word; others may be on their way."""

    current: str = ""
    armed: str = ""
    """Takes over with the next sentence that begins once it is in memory."""
    switching: str = ""
    """Takes over as soon as it can be heard."""
    _armed_is_there: bool = False

    @property
    def anyone(self) -> bool:
        return bool(self.current or self.armed or self.switching)

    @property
    def coming(self) -> str:
        """Who speaks the next sentence."""
        return self.armed if self._takes_over else self.current

    @property
    def _takes_over(self) -> bool:
        """Nobody is kept waiting for a voice that loads, but where there is no other."""
        return bool(self.armed) and (self._armed_is_there or not self.current)

    def arm(self, voice_id: str) -> None:
        """A voice is to take over; it is being loaded."""
        self.armed, self._armed_is_there = voice_id, False

    def loaded(self, voice_id: str) -> None:
        """A voice is in memory."""
        self._armed_is_there |= self.armed == voice_id

    def take_over(self) -> bool:
        """The next sentence begins: whether somebody else speaks it."""
        if not self._takes_over:
            return False
        self.current, self.armed = self.armed, ""
        return True

    def arrive(self, voice_id: str) -> bool:
        """A voice can be heard: whether it is still wanted, and so has the word."""
        if self.switching != voice_id:
            return False
        self.current, self.switching = voice_id, ""
        return True

    def give_up(self, voice_id: str) -> None:
        """A voice cannot be had: whoever speaks goes on."""
        self.armed = "" if self.armed == voice_id else self.armed
        self.switching = "" if self.switching == voice_id else self.switching

    def stay(self) -> None:
        """Whoever is on the way need not come."""
        self.armed = self.switching = ""
