"""The phase of the fundamental in each spoken row, measured on its sound.

The sound is brought down by the planned pitch; what is left at rest is the fundamental, and its angle is how far the
voice is ahead of the plan. Knows nothing of networks.
"""

from typing import Final

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.signal import oaconvolve, resample_poly
from torch import Tensor

from voxswap_training.channels import PHASES_PER_FRAME
from voxswap_training.pitch import Pitch, hertz_of
from voxswap_training.ragged import Rows
from voxswap_training.sound import RATE_HZ, Sound
from voxswap_training.utterances import FRAME_SAMPLES

_DECIMATION: Final = 4
_WINDOW_S: Final = 0.12
"""So long that the phase is as even as one that the couplings make, through onsets and stops too: told more, a
generator learns to hear from it where there is voice at all, and is lost with a phase that is nobody's. On twenty lines
this is within 0.03 cycles (root mean square) of what a window of 28 ms finds."""


def fundamental_phase(samples: NDArray[np.float32], pitch_hz: NDArray[np.float64]) -> NDArray[np.float32]:
    """Cycles at the middle of every 2 ms.

    Args:
        samples: (F * FRAME_SAMPLES,) at RATE_HZ.
        pitch_hz: (2F,) planned, every 10 ms.
    """
    rate_hz = RATE_HZ // _DECIMATION
    low = resample_poly(samples, 1, _DECIMATION)
    halves = (np.arange(len(low)) + 0.5) / (rate_hz // 100) - 0.5
    planned = np.cumsum(np.interp(halves, np.arange(len(pitch_hz)), pitch_hz)) / rate_hz
    window = np.hanning(round(_WINDOW_S * rate_hz) + 1)
    still = oaconvolve(low * np.exp(-2j * np.pi * planned), window, mode="same")
    step = FRAME_SAMPLES // _DECIMATION // PHASES_PER_FRAME
    middles = slice(step // 2, None, step)
    return (planned[middles] + np.angle(still[middles]) / (2 * np.pi)).astype(np.float32) % 1.0


class Phases:
    def __init__(self, sound: Sound, pitch: Pitch) -> None:
        """Measures all rows: half a minute of one core for an hour of speech."""
        measured = []
        for row, count in enumerate(sound.counts.tolist()):
            index, start = torch.tensor([row]), torch.tensor([0])
            frames = count // FRAME_SAMPLES
            samples = sound.rows(index, start, frames * FRAME_SAMPLES)[0].cpu().numpy()
            planned = hertz_of(pitch.rows(index, start, frames))[0].T.reshape(-1).double().numpy()
            measured.append(torch.from_numpy(fundamental_phase(samples, planned)).view(frames, PHASES_PER_FRAME))
        self._cycles = torch.cat(measured)
        self._rows = Rows.of(torch.tensor([len(row) for row in measured]))

    def rows(self, rows: Tensor, first: Tensor, frames: int) -> Tensor:
        """Stretches of rows, zeros beyond their ends.

        Args:
            rows: (B,) which.
            first: (B,) from which frame on.
            frames: of every stretch.

        Returns:
            (B, PHASES, frames)
        """
        index, inside = self._rows.stretches(rows, first, frames)
        angle = 2 * torch.pi * self._cycles[index]
        return (torch.cat([angle.cos(), angle.sin()], -1) * inside[..., None]).transpose(1, 2)
