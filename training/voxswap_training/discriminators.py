"""What tells speech from synthesis while the generator learns: HiFi-GAN's periods (Kong et al. 2020) and spectrograms
at several resolutions (UnivNet, Jang et al. 2021), both small. Thrown away after training.
"""

from collections.abc import Iterable
from itertools import pairwise

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.nn.utils.parametrizations import weight_norm

from voxswap_training.signal import spectrum

_SLOPE = 0.1
Judged = tuple[Tensor, list[Tensor]]
"""Scores, and the activations on the way."""


def judged(convs: Iterable[nn.Module], last: nn.Module, x: Tensor) -> Judged:
    """What a judge of convolutions, and a last one that scores, says of (B, C, ...)."""
    seen: list[Tensor] = []
    for conv in convs:
        x = F.leaky_relu(conv(x), _SLOPE)
        seen.append(x)
    return last(x), seen


class _Period(nn.Module):
    def __init__(self, period: int, width: int) -> None:
        super().__init__()
        self.period = period
        widths = (1, width, 2 * width, 4 * width, 8 * width)
        self.convs = nn.ModuleList(
            weight_norm(nn.Conv2d(before, after, (5, 1), (3, 1), (2, 0))) for before, after in pairwise(widths)
        )
        self.last = weight_norm(nn.Conv2d(widths[-1], 1, (3, 1), padding=(1, 0)))

    def forward(self, samples: Tensor) -> Judged:
        """(B, n)."""
        samples = F.pad(samples[:, None], (0, -samples.shape[1] % self.period), mode="reflect")
        x = samples.view(len(samples), 1, -1, self.period)
        return judged(self.convs, self.last, x)


class _Resolution(nn.Module):
    window: Tensor

    def __init__(self, fft: int, width: int) -> None:
        super().__init__()
        self.fft = fft
        self.register_buffer("window", torch.hann_window(fft), persistent=False)
        sizes = ((7, 5), (2, 2)), ((5, 3), (2, 1)), ((5, 3), (2, 2)), ((3, 3), (1, 1))
        self.convs = nn.ModuleList(
            weight_norm(nn.Conv2d(width if index else 1, width, kernel, stride, (kernel[0] // 2, kernel[1] // 2)))
            for index, (kernel, stride) in enumerate(sizes)
        )
        self.last = weight_norm(nn.Conv2d(width, 1, 3, padding=1))

    def forward(self, samples: Tensor) -> Judged:
        """(B, n)."""
        with torch.autocast(samples.device.type, enabled=False):
            x = spectrum(samples.float(), self.fft, self.fft // 4, self.fft, self.window).log()[:, None] * 0.3
        return judged(self.convs, self.last, x)


class Discriminators(nn.Module):
    def __init__(self, width: int) -> None:
        super().__init__()
        periods = [_Period(period, width) for period in (2, 3, 5, 7, 11)]
        self.judges = nn.ModuleList([*periods, *(_Resolution(fft, width) for fft in (512, 1024, 2048))])

    def forward(self, samples: Tensor) -> list[Judged]:
        """(B, n) -> what each judge says."""
        return [judge(samples) for judge in self.judges]


def discriminator_loss(real: list[Judged], made: list[Judged]) -> Tensor:
    """Least squares: 1 for speech, 0 for synthesis."""
    losses = [(r - 1).square().mean() + m.square().mean() for (r, _), (m, _) in zip(real, made, strict=True)]
    return torch.stack([loss.float() for loss in losses]).sum()


def generator_losses(real: list[Judged], made: list[Judged]) -> tuple[Tensor, Tensor]:
    """To pass for speech, and to be seen as the speech that it stands for (feature matching)."""
    passing = torch.stack([(m - 1).float().square().mean() for m, _ in made]).sum()
    matching = torch.stack(
        [
            (m - r.detach()).float().abs().mean() / r.detach().float().abs().mean().clamp_min(1e-3)
            for (_, seen), (_, wanted) in zip(made, real, strict=True)
            for m, r in zip(seen, wanted, strict=True)
        ]
    ).mean()
    return passing, matching
