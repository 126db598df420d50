"""How long the device will take for a text, learnt from the texts that it spoke.

Knows nothing of networks, queues or clocks. Two moving averages for each kind of voice: seconds of audio for a unit of
text, and seconds of the device for a second of audio. What it was not told often enough it does not guess.
"""

from dataclasses import dataclass
from unicodedata import east_asian_width

WIDE_UNITS = 3
"""A character of Chinese, Japanese or Korean is about a syllable, a Latin letter a third of one."""
DIGIT_UNITS = 3
"""A digit is a word."""
COLD = 5
"""Requests of a kind that must have been spoken before anything is said of the next."""
WEIGHT = 0.1
"""Of the newest request in an average, once that is warm."""


def units(text: str) -> int:
    """How long a text is to say, about; a letter of Latin script is 1."""
    return sum(_units(character) for character in text if character.isalnum())


def _units(character: str) -> int:
    if character.isdigit():
        return DIGIT_UNITS
    return WIDE_UNITS if east_asian_width(character) in "WF" else 1


@dataclass(slots=True, eq=False)
class Demand:
    """What a request asks of the device. Whoever speaks it says how far it is."""

    device_s: float
    audio_s: float
    spoken_s: float = 0.0
    """Seconds of its audio that were made."""

    @property
    def left_s(self) -> float:
        """Seconds of the device that are still to come."""
        return self.device_s * max(0.0, 1.0 - self.spoken_s / self.audio_s)


@dataclass(slots=True)
class _Averages:
    audio_s_per_unit: float = 0.0
    device_s_per_audio_s: float = 0.0
    count: int = 0

    def learn(self, audio_s_per_unit: float, device_s_per_audio_s: float) -> None:
        self.count += 1
        weight = max(WEIGHT, 1 / self.count)
        self.audio_s_per_unit += weight * (audio_s_per_unit - self.audio_s_per_unit)
        self.device_s_per_audio_s += weight * (device_s_per_audio_s - self.device_s_per_audio_s)


class Estimates:
    """All state of the estimation; belongs to one event loop."""

    def __init__(self) -> None:
        self._kinds: dict[str, str] = {}
        self._averages: dict[str, _Averages] = {}

    def learn(self, voice_id: str, kind: str, text: str, *, speed: float, audio_s: float, device_s: float) -> None:
        """A text was spoken to its end.

        Args:
            voice_id: of the voice.
            kind: what decides its speed, such as its version.
            text: what was spoken.
            speed: > 1 is faster.
            audio_s: what it became.
            device_s: the device's time for it.
        """
        size = units(text)
        if not size or audio_s <= 0 or device_s <= 0:
            return
        self._kinds[voice_id] = kind
        self._averages.setdefault(kind, _Averages()).learn(audio_s * speed / size, device_s / audio_s)

    def demand(self, voice_id: str, text: str, *, speed: float = 1.0) -> Demand | None:
        """What a text will ask of the device; None while too little is known of voices of this kind."""
        averages, size = self._averages.get(self._kinds.get(voice_id, "")), units(text)
        if averages is None or averages.count < COLD or not size:
            return None
        audio_s = averages.audio_s_per_unit * size / speed
        return Demand(audio_s * averages.device_s_per_audio_s, audio_s)
