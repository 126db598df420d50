"""Which sound it is: spectra without their harmonics, and a judge of whether such a course of spectra can be speech.

A prior that is only taught to be near says the middle of what may come: of a stop that may burst now or in a moment, no
burst. The judge tells such courses from true ones (as for waveforms, UnivNet, Jang et al. 2021). Thrown away after
training.
"""

from typing import Final

import numpy as np
import scipy.fft
import torch
from torch import Tensor, nn

from voxswap_training.channels import BANDS, PER_FRAME
from voxswap_training.discriminators import Judged, judged

CEPSTRA: Final = 20
"""Copies of true frames that are told so many coefficients alone lose no words (docs/BUILTIN_VOICES.md)."""


def cosines() -> Tensor:
    """(CEPSTRA, BANDS): what makes cepstra of spectra, orthonormal."""
    return torch.from_numpy(scipy.fft.dct(np.eye(BANDS, dtype=np.float32), norm="ortho", axis=0)[:CEPSTRA])


def in_steps(spoken: Tensor) -> Tensor:
    """(B, SPOKEN_CHANNELS, T) -> (B, BANDS, PER_FRAME * T): spectra of 10 ms, one after the other."""
    spectra = spoken[:, 1:-1].unflatten(1, (PER_FRAME, BANDS))
    return spectra.permute(0, 2, 3, 1).flatten(2)


def from_steps(steps: Tensor, pitch: Tensor) -> Tensor:
    """What `in_steps` took apart, and (B, PER_FRAME, T) of `Pitch`."""
    spectra = steps.unflatten(2, (-1, PER_FRAME)).permute(0, 3, 1, 2).flatten(1, 2)
    return torch.cat([pitch[:, :1], spectra, pitch[:, 1:]], 1)


class EnvelopeJudge(nn.Module):
    def __init__(self, width: int) -> None:
        super().__init__()
        sizes = ((5, 3), (2, 1)), ((5, 3), (2, 1)), ((5, 3), (2, 2)), ((3, 3), (1, 1))
        self.convs = nn.ModuleList(
            nn.Conv2d(width if index else 1, width, kernel, stride, (kernel[0] // 2, kernel[1] // 2))
            for index, (kernel, stride) in enumerate(sizes)
        )
        self.last = nn.Conv2d(width, 1, 3, padding=1)

    def forward(self, envelopes: Tensor) -> list[Judged]:
        """(B, BANDS, N)."""
        return [judged(self.convs, self.last, envelopes[:, None])]
