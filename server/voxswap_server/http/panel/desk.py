"""Who speaks in a session, and who is about to. Knows nothing of audio, and waits for nothing."""

from dataclasses import dataclass


@dataclass(slots=True)
class VoiceDesk:
    """One voice has the word; others may be on their way."""

    current: str = ""
    armed: str = ""
    """Takes over with the next sentence."""
    switching: str = ""
    """Takes over as soon as it can be heard."""

    @property
    def anyone(self) -> bool:
        return bool(self.current or self.armed or self.switching)

    @property
    def coming(self) -> str:
        """Who speaks the next sentence."""
        return self.armed or self.current

    def take_over(self) -> bool:
        """The next sentence begins: whether somebody else speaks it."""
        if not self.armed:
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
