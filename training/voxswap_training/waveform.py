"""What makes a waveform right: spectra, and discriminators that learn beside the generator.

Knows nothing of where the waveform comes from.
"""

import torch
from torch import Tensor, nn

from voxswap_training.discriminators import Discriminators, discriminator_loss, generator_losses
from voxswap_training.loop import adamw, autocast, set_rate
from voxswap_training.mel_frames import MelFrames
from voxswap_training.signal import spectrum

BETAS = (0.8, 0.99)
CLIP = 30.0
"""Longest gradient; usual ones have half of it."""
_FFTS = (512, 1024, 2048)
_MEL_WEIGHT, _STFT_WEIGHT = 10.0, 3.0


class Spectra(nn.Module):
    """Distances of a made waveform from a true one."""

    def __init__(self) -> None:
        super().__init__()
        self.mel = MelFrames()
        self.windows = nn.ParameterList([nn.Parameter(torch.hann_window(fft), requires_grad=False) for fft in _FFTS])

    def forward(self, made: Tensor, true: Tensor) -> tuple[Tensor, Tensor]:
        """Multi-resolution STFT distance (Yamamoto et al. 2020) and mel distance of slices (B, n)."""
        stft = made.new_zeros(())
        for fft, window in zip(_FFTS, self.windows, strict=True):
            a, b = (spectrum(x, fft, fft // 4, fft, window) for x in (made, true))
            stft = stft + (a.clamp_min(1e-4).log() - b.clamp_min(1e-4).log()).abs().mean()
            stft = stft + torch.linalg.vector_norm(a - b) / torch.linalg.vector_norm(b).clamp_min(1e-3)
        return stft / len(_FFTS), (self.mel.log(made) - self.mel.log(true)).abs().mean()


class Adversary:
    """Discriminators with their optimiser."""

    def __init__(self, width: int, rate: float, device: torch.device) -> None:
        self.judges = Discriminators(width).to(device)
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
    stft, mel = spectra(made, true)
    loss, found = mel * _MEL_WEIGHT + stft * _STFT_WEIGHT, {"mel": mel, "stft": stft}
    if adversary is not None:
        found |= adversary.judge(made, true)
        loss = loss + found["passing"] + 2 * len(adversary.judges.judges) * found["matching"]
    return loss, found
