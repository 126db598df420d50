"""Samples as numbers: int16, gain, peak, silence, joins.

Knows nothing of containers, rates of voices or bytes on a wire. A signal is float32 `(n,)`, full scale at 1.0.
"""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

Samples = NDArray[np.float32]
Int16 = NDArray[np.int16]

INT16_SCALE = 32768.0


def to_int16(samples: Samples) -> Int16:
    """Truncates `samples * 32768` towards zero, as upstream `TTS.audio_postprocess` does.

    Differs from upstream at and above full scale only: +1.0 becomes 32767, where upstream wraps around to -32768 (a
    click at the loudest moment of a voice).
    """
    scaled = np.asarray(samples, np.float32) * np.float32(INT16_SCALE)
    limited: Int16 = np.clip(scaled, -INT16_SCALE, INT16_SCALE - 1.0).astype(np.int16)
    return limited


def limit_peak(samples: Samples) -> Samples:
    """Divides a piece by its peak if that is above 1 (upstream's rule); a quieter piece is returned as it is."""
    peak = float(np.abs(samples).max(initial=0.0))
    return samples if peak <= 1.0 else samples / np.float32(peak)


def apply_gain(samples: Samples, gain_db: float) -> Samples:
    """Louder (> 0) or quieter (< 0) by `gain_db`. What leaves full scale is clipped where it becomes bytes."""
    return samples if gain_db == 0.0 else samples * np.float32(10.0 ** (gain_db / 20.0))


def crossfade(tail: Samples, head: Samples) -> Samples:
    """Goes linearly from `tail` `(n,)` to `head` `(n,)`. The weights add to 1, so equal signals pass unchanged.

    Raises:
        ValueError: the two differ in length.
    """
    if tail.shape != head.shape:
        raise ValueError(f"a cross-fade needs two signals of one length, not {tail.size} and {head.size} samples")
    rising = _rising(tail.size)
    mixed: Samples = tail * (np.float32(1.0) - rising) + head * rising
    return mixed


def fade_in(samples: Samples, ramp_samples: int) -> Samples:
    """Raises the first `ramp_samples` linearly from silence."""
    ramp = min(ramp_samples, samples.size)
    faded = samples.copy()
    faded[:ramp] *= _rising(ramp)
    return faded


def fade_out(samples: Samples, ramp_samples: int) -> Samples:
    """Lowers the last `ramp_samples` linearly to silence, so that a signal that is cut off does not click."""
    return fade_in(samples[::-1], ramp_samples)[::-1]


def join(pieces: Sequence[Samples], *, ramp_samples: int = 0) -> Samples:
    """The pieces one after the other, end to end; with `ramp_samples`, neighbours overlap in a cross-fade that long.

    Each cross-fade shortens the whole by its length, and is itself never longer than either neighbour.
    """
    joined: list[Samples] = []
    for piece in pieces:
        ramp = min(ramp_samples, piece.size, joined[-1].size if joined else 0)
        if ramp:
            last = joined.pop()
            middle = crossfade(last[last.size - ramp :], piece[:ramp])
            piece = np.concatenate([last[: last.size - ramp], middle, piece[ramp:]])  # noqa: PLW2901 - it grows
        joined.append(piece)
    return np.concatenate(joined) if joined else np.zeros(0, np.float32)


def _rising(samples: int) -> Samples:
    """Weights `(samples,)` strictly between 0 and 1, evenly apart."""
    return (np.arange(1, samples + 1, dtype=np.float32) / np.float32(samples + 1)).astype(np.float32)
