"""What makes a waveform right: spectra, and discriminators that learn beside the generator.

Knows nothing of where the waveform comes from.
"""

import torch
from torch import Tensor, nn

from voxswap_training.discriminators import discriminator_loss, generator_losses
from voxswap_training.loop import adamw, autocast, set_rate
from voxswap_training.mel_frames import MelFrames
from voxswap_training.signal import complex_spectrum, magnitude
from voxswap_training.sound import RATE_HZ

BETAS = (0.8, 0.99)
CLIP = 30.0
"""Longest gradient; usual ones have half of it."""
_FFTS = (512, 1024, 2048)
_MEL_WEIGHT, _STFT_WEIGHT, _PHASE_WEIGHT = 10.0, 3.0, 10.0
_MATCHING_WEIGHT = 16.0
_PHASE_FFT = 1024
_PHASE_HZ = 4000
"""Harmonics below it stand in a fixed relation to the fundamental, whose phase the generator is told."""


class Spectra(nn.Module):
    """Distances of a made waveform from a true one."""

    def __init__(self) -> None:
        super().__init__()
        self.mel = MelFrames()
        self.windows = nn.ParameterList([nn.Parameter(torch.hann_window(fft), requires_grad=False) for fft in _FFTS])

    def forward(self, made: Tensor, true: Tensor) -> dict[str, Tensor]:
        """Of slices (B, n): mel, multi-resolution STFT (Yamamoto et al. 2020), and spectra with their phases."""
        stft = phase = made.new_zeros(())
        for fft, window in zip(_FFTS, self.windows, strict=True):
            made_, true_ = (complex_spectrum(x, fft, fft // 4, fft, window) for x in (made, true))
            a, b = magnitude(made_), magnitude(true_)
            stft = stft + (a.clamp_min(1e-4).log() - b.clamp_min(1e-4).log()).abs().mean()
            stft = stft + torch.linalg.vector_norm(a - b) / torch.linalg.vector_norm(b).clamp_min(1e-3)
            if fft == _PHASE_FFT:
                low = slice(0, fft * _PHASE_HZ // RATE_HZ)
                apart = magnitude(made_[:, low] - true_[:, low])
                phase = torch.linalg.vector_norm(apart) / torch.linalg.vector_norm(b[:, low]).clamp_min(1e-3)
        mel = (self.mel.log(made) - self.mel.log(true)).abs().mean()
        return {"mel": mel, "stft": stft / len(_FFTS), "phase": phase}


class Adversary:
    """Discriminators with their optimiser."""

    def __init__(self, judges: nn.Module, rate: float, device: torch.device) -> None:
        """`judges`: of what is made or true, (B, ...) -> list of Judged."""
        self.judges = judges.to(device)
        self.optimiser = adamw(self.judges, rate, decay=0.01, betas=BETAS)
        self._rate, self._device = rate, device

    def set_rate(self, factor: float) -> None:
        set_rate(self.optimiser, self._rate * factor)

    def judge(self, made: Tensor, true: Tensor) -> dict[str, Tensor]:
        """One step of the discriminators, then what they make of the generator's work."""
        with autocast(self._device):
            real = self.judges(true)
            loss = discriminator_loss(real, self.judges(made.detach()))
        self.optimiser.zero_grad(set_to_none=True)
        loss.backward()
        nn.utils.clip_grad_norm_(self.judges.parameters(), CLIP)
        self.optimiser.step()
        self.judges.requires_grad_(requires_grad=False)
        with autocast(self._device):
            passing, matching = generator_losses(real, self.judges(made))
        self.judges.requires_grad_(requires_grad=True)
        return {"judges": loss, "passing": passing, "matching": matching}


def waveform_loss(
    made: Tensor, true: Tensor, spectra: Spectra, adversary: Adversary | None
) -> tuple[Tensor, dict[str, Tensor]]:
    """What the generator shall make small for slices (B, n), and its parts by name."""
    found = spectra(made, true)
    loss = _MEL_WEIGHT * found["mel"] + _STFT_WEIGHT * found["stft"] + _PHASE_WEIGHT * found["phase"]
    if adversary is not None:
        found |= adversary.judge(made, true)
        loss = loss + found["passing"] + _MATCHING_WEIGHT * found["matching"]
    return loss, found
