"""How near marks in time (beginnings of words, of phones) are to the sound that they mark.

Needs no transcript and no network: where silence ends something begins, and where one sound becomes another the
spectrum changes. Knows nothing of voices or of how marks are made. Samples are mono, (n,).
"""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

HOP_S = 0.005
_WINDOW_S = 0.01
_SPECTRUM_S = 0.02
_QUIET_DB = 35.0
"""So far below the loud parts a moment counts as silence."""
_FLOOR_DB = -60.0
"""What is below full scale by this is silence in any case."""
_SILENCE_S = 0.08
"""Shorter gaps are stops within words."""
_SOUND_S = 0.03
"""Shorter sounds are clicks."""
_BANDS = 24
_LOWEST_HZ, _HIGHEST_HZ = 100.0, 8000.0
_SIDE_FRAMES = 4
"""On either side of a moment, whose spectra are compared."""
_NEAR_FRAMES = 2
"""A mark stands for the greatest change so near to it: marks come in steps of 20 ms."""

Samples = NDArray[np.float32]
Numbers = NDArray[np.float64]


def onsets(samples: Samples, rate_hz: int) -> Numbers:
    """Moments in seconds at which a silence ends; the beginning of the recording is preceded by silence."""
    return _sounds(samples, rate_hz)[:, 0]


def offsets(samples: Samples, rate_hz: int) -> Numbers:
    """Moments in seconds at which a silence begins; the end of the recording is followed by silence."""
    return _sounds(samples, rate_hz)[:, 1]


def distances(marks_s: Sequence[float] | Numbers, onsets_s: Numbers) -> Numbers:
    """From each onset, or offset, to the nearest mark, in seconds; positive where the mark is late.

    Raises:
        ValueError: there are no marks.
    """
    marks = np.sort(np.asarray(marks_s, np.float64))
    if not marks.size:
        raise ValueError("there are no marks to look for")
    nearest = np.abs(marks[None] - onsets_s[:, None]).argmin(axis=1)
    return np.asarray(marks[nearest] - onsets_s)


def ranks(marks_s: Sequence[float] | Numbers, samples: Samples, rate_hz: int) -> Numbers:
    """How the change of the spectrum at each mark ranks among that of all moments: 0.5 by chance, 1 is the greatest."""
    change = _change(samples, rate_hz)
    padded = np.pad(change, _NEAR_FRAMES, mode="edge")
    near = np.lib.stride_tricks.sliding_window_view(padded, 2 * _NEAR_FRAMES + 1).max(axis=1)
    places = np.clip(np.rint(np.asarray(marks_s, np.float64) / HOP_S).astype(int), 0, near.size - 1)
    ordered = np.sort(near)
    below, upto = np.searchsorted(ordered, near[places], "left"), np.searchsorted(ordered, near[places], "right")
    return np.asarray((below + upto) / 2 / near.size)


def rotated(marks_s: Sequence[float] | Numbers, by_s: float, total_s: float) -> Numbers:
    """The same marks at another place of the recording, round its end: what chance would do."""
    return np.sort((np.asarray(marks_s, np.float64) + by_s) % total_s)


def _sounds(samples: Samples, rate_hz: int) -> Numbers:
    """(sounds, 2) where each begins and ends, in seconds."""
    loud = _loud(samples, rate_hz)
    edges = np.flatnonzero(np.diff(np.concatenate(([0], loud.astype(np.int8), [0])))) * HOP_S
    begins, ends = edges[::2], edges[1::2]
    if not begins.size:
        return np.zeros((0, 2))
    # What lies apart by less than a silence is one sound; only then is it told what is too short to be one.
    parted = begins[1:] - ends[:-1] >= _SILENCE_S
    begins, ends = begins[np.concatenate(([True], parted))], ends[np.concatenate((parted, [True]))]
    return np.stack((begins, ends), axis=1)[ends - begins >= _SOUND_S]


def _loud(samples: Samples, rate_hz: int) -> NDArray[np.bool_]:
    """(frames,) whether each moment is louder than silence."""
    frames = _frames(samples, rate_hz, _WINDOW_S)
    level_db = 10 * np.log10((frames.astype(np.float64) ** 2).mean(axis=1) + 1e-12)
    return np.asarray(level_db > max(_FLOOR_DB, float(np.percentile(level_db, 95)) - _QUIET_DB))


def _change(samples: Samples, rate_hz: int) -> Numbers:
    """(frames,) how much the spectrum differs on the two sides of each moment; 0 where it does not."""
    frames = _frames(samples, rate_hz, _SPECTRUM_S)
    power = np.abs(np.fft.rfft(frames * np.hanning(frames.shape[1]), axis=1)) ** 2
    hz = np.fft.rfftfreq(frames.shape[1], 1 / rate_hz)
    edges = np.geomspace(_LOWEST_HZ, min(_HIGHEST_HZ, rate_hz / 2), _BANDS + 1)
    band = np.searchsorted(edges, hz) - 1
    spectra = np.stack([power[:, band == one].sum(axis=1) for one in range(_BANDS)], axis=1)
    spectra = np.log(spectra + 1e-6 * spectra.max() + 1e-12)
    padded = np.pad(spectra, ((_SIDE_FRAMES, _SIDE_FRAMES), (0, 0)), mode="edge")
    sums = np.concatenate((np.zeros((1, _BANDS)), np.cumsum(padded, axis=0)))
    count = len(spectra)
    before = sums[_SIDE_FRAMES : _SIDE_FRAMES + count] - sums[:count]
    after = sums[2 * _SIDE_FRAMES : 2 * _SIDE_FRAMES + count] - sums[_SIDE_FRAMES : _SIDE_FRAMES + count]
    return np.asarray(np.linalg.norm(after - before, axis=1) / _SIDE_FRAMES)


def _frames(samples: Samples, rate_hz: int, window_s: float) -> Samples:
    """(frames, window) around each multiple of the hop."""
    window, hop = round(window_s * rate_hz), round(HOP_S * rate_hz)
    padded = np.pad(samples, (window // 2, window))
    count = len(samples) // hop + 1
    return np.lib.stride_tricks.sliding_window_view(padded, window)[: count * hop : hop][:count]
