"""The teacher's phonemes as sound classes in time.

The teacher's durations belong to symbols, some of which have no sound of their own (stress, blanks, length), and they
lag behind the sound by a constant: both were measured on its speech (docs/BUILTIN_VOICES.md). Knows nothing of codes.
"""

from collections.abc import Sequence
from typing import Final

import numpy as np
from numpy.typing import NDArray

from voxswap_training.entries import FRAME_SAMPLES, RATE_HZ

FRAME_RATE_HZ: Final = 50
"""Content frames a second: two of them make a semantic token."""
_FRAME_S = FRAME_SAMPLES / RATE_HZ
_LAG_S = 0.060
"""A symbol's sound comes this much before its place in the teacher's durations."""

SILENCE: Final = "sil"
_PLAIN = "b d f h j k l m n p s t v w z ɡ ŋ ɹ ʃ ʒ ð θ ʤ ʧ T i u ɑ ɔ ɛ ɜ ɪ ʊ ʌ ə æ a ɒ ɐ ᵊ ᵻ".split()
_GLIDES = {
    "A": ("A1", "A2"),
    "I": ("I1", "I2"),
    "O": ("O1", "O2"),
    "Q": ("Q1", "Q2"),
    "W": ("W1", "W2"),
    "Y": ("Y1", "Y2"),
}
CLASSES: Final = (SILENCE, *_PLAIN, *(half for halves in _GLIDES.values() for half in halves))
INDEX: Final = {name: number for number, name in enumerate(CLASSES)}
UNVOICED: Final = frozenset(INDEX[name] for name in (SILENCE, "f", "h", "k", "p", "s", "t", "ʃ", "θ", "ʧ"))

_STRESS_TO_PREVIOUS = 0.2
_BLANK_TO_PREVIOUS = 0.5


def spans(phonemes: str, frames: Sequence[int]) -> list[tuple[int, float]]:
    """Sound classes and where each ends, in seconds of sound.

    A stress mark is mostly the start of the vowel after it, a blank is shared by its neighbours unless one of them is
    a pause, a length mark belongs to its vowel, punctuation is silence.
    """
    pieces: list[list[float]] = []  # [class, seconds]
    waiting = 0.0  # of marks that belong to the sound to come
    for symbol, count in zip(phonemes, frames, strict=True):
        seconds = count * _FRAME_S
        if symbol in "ˈˌ ":
            share = _BLANK_TO_PREVIOUS if symbol == " " else _STRESS_TO_PREVIOUS
            if pieces:
                pieces[-1][1] += share * seconds
            waiting += (1 - share if pieces else 1) * seconds
        elif symbol == "ː" and pieces:
            pieces[-1][1] += seconds
        else:
            halves = _GLIDES.get(symbol, (symbol if symbol in INDEX else SILENCE,))
            pieces += [[INDEX[half], (seconds + waiting) / len(halves)] for half in halves]
            waiting = 0.0
    if pieces:
        pieces[-1][1] += waiting
    ends = np.cumsum([seconds for _, seconds in pieces]) - _LAG_S
    return [(int(sound), float(end)) for (sound, _), end in zip(pieces, ends, strict=True)]


def classes_at_frames(phonemes: str, frames: Sequence[int]) -> NDArray[np.int64]:
    """(T,) sound class at the middle of every content frame; T is even."""
    parts = spans(phonemes, frames)
    count = int(sum(frames) * _FRAME_S * FRAME_RATE_HZ) // 2 * 2
    middles = (np.arange(count) + 0.5) / FRAME_RATE_HZ
    found = np.searchsorted([end for _, end in parts], middles, side="right")
    sounds = np.array([sound for sound, _ in parts] + [INDEX[SILENCE]])
    return sounds[found]


def semitones_at_frames(pitch_hz: Sequence[int], classes: NDArray[np.int64], median_hz: float) -> NDArray[np.float32]:
    """(T,) pitch above the voice's median, 0 where the class has no voice."""
    middles = (np.arange(len(classes)) + 0.5) / FRAME_RATE_HZ
    times = (np.arange(len(pitch_hz)) + 0.5) * _FRAME_S
    hz = np.asarray(pitch_hz, float)
    voiced = hz > 0
    if not voiced.any():
        return np.zeros(len(classes), np.float32)
    semitones = 12 * np.interp(middles, times[voiced], np.log2(hz[voiced] / median_hz))
    semitones[np.isin(classes, list(UNVOICED))] = 0
    return np.clip(semitones, -12, 12).astype(np.float32)
