"""Something that a speech network takes for speech: pulses of a voice box through the formants of a mouth.

Knows nothing of networks. The seed chooses pitch, size of the mouth and melody, so two seeds are two speakers.
"""

import io
import wave
from typing import Final

import numpy as np
from numpy.typing import NDArray

RATE_HZ: Final = 32_000
TRANSCRIPT: Final = "The morning train was late again, so we took the long way home along the river and talked."
"""What five seconds are said to say: as many phones as speech has in that time, for the pace of a prompt counts."""

_VOWELS_HZ: Final = ((730, 1090, 2440), (270, 2290, 3010), (300, 870, 2240), (530, 1840, 2480), (570, 840, 2410))
"""First three formants of five vowels (Peterson and Barney 1952)."""
_SYLLABLE_S: Final = 0.18
_HARMONICS: Final = 40


def speech_clip(seed: int, seconds: float = 5.0) -> bytes:
    """A WAV of one channel, 16 bit, 32 kHz."""
    samples = np.round(np.clip(speech_samples(seed, seconds), -1, 1) * 32_767).astype("<i2")
    out = io.BytesIO()
    with wave.open(out, "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(RATE_HZ)
        file.writeframes(samples.tobytes())
    return out.getvalue()


def speech_samples(seed: int, seconds: float) -> NDArray[np.float64]:
    """(n,) within ±0.7."""
    random = np.random.Generator(np.random.Philox(seed))
    count = round(seconds * RATE_HZ)
    time_s = np.arange(count) / RATE_HZ
    pitch_hz, mouth = random.uniform(95, 230), random.uniform(0.85, 1.2)
    syllables = int(seconds / _SYLLABLE_S) + 2
    knots_s = np.arange(syllables) * _SYLLABLE_S
    melody = np.interp(time_s, knots_s, pitch_hz * random.uniform(0.85, 1.2, syllables))
    vowels = np.array(_VOWELS_HZ)[random.integers(0, len(_VOWELS_HZ), syllables)] * mouth
    loudness = np.interp(time_s, knots_s, random.uniform(0.3, 1.0, syllables))
    loudness *= 0.55 - 0.45 * np.cos(2 * np.pi * time_s / _SYLLABLE_S)
    formants_hz = np.stack([np.interp(time_s, knots_s, vowels[:, index]) for index in range(3)])
    voiced = _voiced(melody, formants_hz)
    breath = random.standard_normal(count) * 0.02
    samples = (voiced + breath) * loudness
    return _peak_at(samples, 0.7)


def _voiced(melody_hz: NDArray[np.float64], formants_hz: NDArray[np.float64]) -> NDArray[np.float64]:
    """Harmonics that fall by 12 dB an octave, each as loud as the formants near it let it be."""
    phase = 2 * np.pi * np.cumsum(melody_hz) / RATE_HZ
    total = np.zeros_like(phase)
    for harmonic in range(1, _HARMONICS + 1):
        frequency_hz = harmonic * melody_hz
        resonance = sum(1 / (1 + ((frequency_hz - formant) / 90) ** 2) for formant in formants_hz)
        total += np.where(frequency_hz < 0.45 * RATE_HZ, (resonance + 0.01) / harmonic, 0) * np.sin(harmonic * phase)
    return _peak_at(total, 1.0)


def _peak_at(samples: NDArray[np.float64], peak: float) -> NDArray[np.float64]:
    scaled: NDArray[np.float64] = samples * (peak / float(np.abs(samples).max()))
    return scaled
