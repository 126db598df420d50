"""BigVGAN: mel frames to samples (Lee et al. 2023; NVIDIA's v2), the vocoder of v3.

Knows nothing of where its frames come from. Weight norm was folded when the checkpoint was imported.
"""

from dataclasses import dataclass
from math import prod

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from voxswap_server.nn.hifigan import upsampled_reach

_EDGE_KERNEL = 7
_TAPS = 12
"""Of the filters around every activation, which double and halve the rate."""
_ACTIVATION_REACH = 5


@dataclass(frozen=True, slots=True)
class BigVganConfig:
    in_width: int
    initial_width: int
    """Channels before the first upsampling; each upsampling halves them."""
    rates: tuple[int, ...]
    kernels: tuple[int, ...]
    block_kernels: tuple[int, ...]
    block_dilations: tuple[tuple[int, ...], ...]

    @property
    def samples_per_frame(self) -> int:
        return prod(self.rates)

    @property
    def reach_frames(self) -> int:
        """Frames on either side that the samples of a frame depend on: followed back from the output."""
        block = max(
            sum(2 * _ACTIVATION_REACH + (kernel // 2) * (dilation + 1) for dilation in dilations)
            for kernel, dilations in zip(self.block_kernels, self.block_dilations, strict=True)
        )
        reach = _EDGE_KERNEL // 2 + _ACTIVATION_REACH
        for rate, kernel in zip(reversed(self.rates), reversed(self.kernels), strict=True):
            reach = upsampled_reach(reach + block, rate, kernel)
        return reach + _EDGE_KERNEL // 2


class Activation(nn.Module):
    """Periodic activation (snake with its own amplitude), at twice the rate so that it does not alias."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.frequency = nn.Parameter(torch.empty(width))
        """exp(alpha) of upstream."""
        self.amplitude = nn.Parameter(torch.empty(width))
        """1 / (exp(beta) + 1e-9) of upstream."""

    def forward(self, x: Tensor, up: Tensor, down: Tensor) -> Tensor:
        """(B, C, N) -> (B, C, N); both filters are (taps,)."""
        x = _doubled(x, up)
        x = x + self.amplitude[:, None] * torch.sin(x * self.frequency[:, None]).square()
        return _halved(x, down)


class ResidualBlock(nn.Module):
    """Pairs of convolutions, dilated and plain, each behind its activation, each pair added to its input."""

    def __init__(self, width: int, kernel: int, dilations: tuple[int, ...]) -> None:
        super().__init__()
        self.dilated = nn.ModuleList(
            nn.Conv1d(width, width, kernel, dilation=dilation, padding=dilation * (kernel // 2))
            for dilation in dilations
        )
        self.plain = nn.ModuleList(nn.Conv1d(width, width, kernel, padding=kernel // 2) for _ in dilations)
        self.activations = nn.ModuleList(Activation(width) for _ in range(2 * len(dilations)))

    def forward(self, x: Tensor, up: Tensor, down: Tensor) -> Tensor:
        """(B, C, N) -> (B, C, N)."""
        for index, (dilated, plain) in enumerate(zip(self.dilated, self.plain, strict=True)):
            y = dilated(self.activations[2 * index](x, up, down))
            x = plain(self.activations[2 * index + 1](y, up, down)).add_(x)
        return x


class Stage(nn.Module):
    """One upsampling and the mean of residual blocks of several kernel sizes."""

    def __init__(self, config: BigVganConfig, index: int) -> None:
        super().__init__()
        width = config.initial_width // 2 ** (index + 1)
        rate, kernel = config.rates[index], config.kernels[index]
        self.up = nn.ConvTranspose1d(2 * width, width, kernel, rate, padding=(kernel - rate) // 2)
        self.blocks = nn.ModuleList(
            ResidualBlock(width, *shape) for shape in zip(config.block_kernels, config.block_dilations, strict=True)
        )

    def forward(self, x: Tensor, up: Tensor, down: Tensor) -> Tensor:
        """(B, 2C, N) -> (B, C, rate * N)."""
        x = self.up(x)
        total = self.blocks[0](x, up, down)
        for block in list(self.blocks)[1:]:
            total = total.add_(block(x, up, down))
        return total.div_(len(self.blocks))


class BigVgan(nn.Module):
    def __init__(self, config: BigVganConfig) -> None:
        super().__init__()
        self.up_filter = nn.Parameter(torch.empty(_TAPS))
        self.down_filter = nn.Parameter(torch.empty(_TAPS))
        self.pre = nn.Conv1d(config.in_width, config.initial_width, _EDGE_KERNEL, padding=_EDGE_KERNEL // 2)
        self.stages = nn.ModuleList(Stage(config, index) for index in range(len(config.rates)))
        width = config.initial_width // 2 ** len(config.rates)
        self.activation = Activation(width)
        self.post = nn.Conv1d(width, 1, _EDGE_KERNEL, padding=_EDGE_KERNEL // 2, bias=False)

    def forward(self, mel: Tensor) -> Tensor:
        """(B, in_width, T) -> (B, T * samples_per_frame) in -1..1."""
        filters = (self.up_filter, self.down_filter)
        x = self.pre(mel)
        for stage in self.stages:
            x = stage(x, *filters)
        return self.post(self.activation(x, *filters)).clamp_(-1, 1)[:, 0]


def _doubled(x: Tensor, taps: Tensor) -> Tensor:
    """Twice the rate: (B, C, N) -> (B, C, 2N)."""
    margin = _TAPS // 2 - 1
    x = F.pad(x, (margin, margin), mode="replicate")
    y = F.conv_transpose1d(x, 2 * taps.expand(x.shape[1], 1, -1), stride=2, groups=x.shape[1])
    crop = 3 * margin
    return y[..., crop:-crop]


def _halved(x: Tensor, taps: Tensor) -> Tensor:
    """Half the rate: (B, C, 2N) -> (B, C, N)."""
    margin = _TAPS // 2
    x = F.pad(x, (margin - 1, margin), mode="replicate")
    return F.conv1d(x, taps.expand(x.shape[1], 1, -1), stride=2, groups=x.shape[1])
