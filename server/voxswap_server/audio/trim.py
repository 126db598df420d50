"""The part of a longer recording that serves best as a reference: 3 to 10 s in which somebody speaks.

Knows nothing of what is said. Where a voice is heard is WebRTC's detector's to say, 30 ms at a time; the window is the
one with the most voice and the least silence that does not begin or end within a phrase if that can be had.
"""

import io
from dataclasses import dataclass
from typing import Final

import numpy as np
import soundfile
import soxr
import webrtcvad
from numpy.lib.stride_tricks import sliding_window_view
from numpy.typing import NDArray

from voxswap_server.audio.decode import Decoded
from voxswap_server.errors import BadReferenceAudio

SHORTEST_S: Final = 3.0
LONGEST_S: Final = 10.0

_DETECTOR_HZ: Final = 16_000
_FRAME_S: Final = 0.03
_FRAME_SAMPLES: Final = 480
_STRICTNESS: Final = 2
"""0 to 3: how sure the detector is of a voice before it says so."""
_CUT_FRAMES: Final = 10
"""A window that cuts into a phrase is as bad as one with so much more silence in it."""
_MARGIN_FRAMES: Final = 3
"""Kept before and after, where there is room: soft sounds at the ends of words are heard late or not at all."""
_SHORTEST_FRAMES: Final = round(SHORTEST_S / _FRAME_S)
_LONGEST_FRAMES: Final = int(LONGEST_S / _FRAME_S)


@dataclass(frozen=True, slots=True)
class Window:
    """A part of a recording."""

    start_s: float
    end_s: float
    audio: bytes
    """It alone: FLAC of 24 bits, at the rate and with the channels of the recording."""


def best_window(recording: Decoded) -> Window:
    """Chooses and cuts it; of equals the first.

    Raises:
        BadReferenceAudio: the recording is too short, or nobody speaks in it.
    """
    voiced = _voiced(recording)
    if len(voiced) < _SHORTEST_FRAMES:
        length_s = len(recording.samples) / recording.rate_hz
        raise BadReferenceAudio(f"the recording lasts {length_s:.1f} s; at least {SHORTEST_S:.0f} s are needed")
    if not voiced.any():
        raise BadReferenceAudio("no voice is heard in the recording")
    start, frames = _choose(voiced)
    margin = min(_MARGIN_FRAMES, (_LONGEST_FRAMES - frames) // 2)
    bounds = max(0, start - margin), min(len(voiced), start + frames + margin)
    first, last = (round(frame * _FRAME_S * recording.rate_hz) for frame in bounds)
    out = io.BytesIO()
    soundfile.write(out, recording.samples[first:last], recording.rate_hz, format="FLAC", subtype="PCM_24")
    return Window(first / recording.rate_hz, last / recording.rate_hz, out.getvalue())


def _voiced(recording: Decoded) -> NDArray[np.bool_]:
    """(frames,): whether a voice is heard in each 30 ms; what is left over at the end is not looked at."""
    mono = soxr.resample(recording.samples.mean(axis=1), recording.rate_hz, _DETECTOR_HZ)
    frames = (np.clip(mono, -1, 1) * 32_767).astype("<i2")[: len(mono) // _FRAME_SAMPLES * _FRAME_SAMPLES]
    detector = webrtcvad.Vad(_STRICTNESS)
    said = [detector.is_speech(frame.tobytes(), _DETECTOR_HZ) for frame in frames.reshape(-1, _FRAME_SAMPLES)]
    return np.array(said, bool)


def _choose(voiced: NDArray[np.bool_]) -> tuple[int, int]:
    """(first frame, frames) of the best window."""
    gained = np.concatenate(([0], np.cumsum(np.where(voiced, 1, -1))))
    bounded = np.concatenate(([False], voiced, [False]))
    cut = np.where(bounded[:-1] & bounded[1:], _CUT_FRAMES, 0)
    """What a bound before each frame costs, and after the last: whether it has voice on both sides."""
    # A window's worth is what was gained at its end less what was at its start, less both cuts.
    ends = np.concatenate((gained - cut, np.full(_LONGEST_FRAMES, np.iinfo(np.int64).min // 2)))
    reach = sliding_window_view(ends[_SHORTEST_FRAMES:], _LONGEST_FRAMES - _SHORTEST_FRAMES + 1)
    starts = len(voiced) - _SHORTEST_FRAMES + 1
    lengths = reach[:starts].argmax(axis=1)
    worth = reach[np.arange(starts), lengths] - gained[:starts] - cut[:starts]
    start = int(worth.argmax())
    return start, _SHORTEST_FRAMES + int(lengths[start])
