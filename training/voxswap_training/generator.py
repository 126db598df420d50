"""The generator of the decoder as it is trained: HiFi-GAN under upstream's parameter names.

Knows nothing of data and losses.
"""

from typing import Final

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from voxswap_training.channels import HEARD
from voxswap_training.confined import confine
from voxswap_training.shape import SovitsShape

_SLOPE: Final = 0.1
_LAST_SLOPE: Final = 0.01


class _Along(nn.Conv1d):
    """Over time on (B, C, 1, T): with channels last, narrow layers take a CPU two thirds of the time."""

    def forward(self, input: Tensor) -> Tensor:  # noqa: A002 - the base class names it
        weight, padding, dilation = self.weight[:, :, None], (0, *self.padding), (1, *self.dilation)
        return F.conv2d(input, weight, self.bias, padding=padding, dilation=dilation)


class _Longer(nn.ConvTranspose1d):
    def forward(self, input: Tensor) -> Tensor:  # type: ignore[override]  # noqa: A002 - no output size is ever asked
        return F.conv_transpose2d(input, self.weight[:, :, None], self.bias, (1, *self.stride), (0, *self.padding))


class _ResidualBlock(nn.Module):
    def __init__(self, width: int, kernel: int, dilations: tuple[int, ...]) -> None:
        super().__init__()
        self.convs1 = nn.ModuleList(
            _Along(width, width, kernel, dilation=dilation, padding=dilation * (kernel // 2)) for dilation in dilations
        )
        self.convs2 = nn.ModuleList(_Along(width, width, kernel, padding=kernel // 2) for _ in dilations)

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, 1, T) -> (B, C, 1, T)."""
        for dilated, plain in zip(self.convs1, self.convs2, strict=True):
            x = x + plain(F.leaky_relu(dilated(F.leaky_relu(x, _SLOPE)), _SLOPE))
        return x


class Generator(nn.Module):
    def __init__(self, shape: SovitsShape) -> None:
        super().__init__()
        width = shape.upsample_initial_channel
        self.blocks = len(shape.resblock_kernel_sizes)
        self.conv_pre = nn.Conv1d(shape.inter_channels, width, 7, padding=3)
        confine(self.conv_pre, hears=HEARD)
        self.cond = nn.Conv1d(shape.gin_channels, width, 1)
        self.ups = nn.ModuleList()
        self.resblocks = nn.ModuleList()
        for rate, kernel in zip(shape.upsample_rates, shape.upsample_kernel_sizes, strict=True):
            self.ups.append(_Longer(width, width // 2, kernel, rate, padding=(kernel - rate) // 2))
            width //= 2
            for sizes in zip(shape.resblock_kernel_sizes, shape.resblock_dilation_sizes, strict=True):
                self.resblocks.append(_ResidualBlock(width, *sizes))
        self.conv_post = _Along(width, 1, 7, padding=3, bias=False)

    def forward(self, z: Tensor, speaker: Tensor) -> Tensor:
        """(B, C, T) -> (B, T * hop)."""
        x = (self.conv_pre(z) + self.cond(speaker))[:, :, None].contiguous(memory_format=torch.channels_last)
        for index, up in enumerate(self.ups):
            x = up(F.leaky_relu(x, _SLOPE))
            first, *others = self.resblocks[index * self.blocks : (index + 1) * self.blocks]
            made = first(x)
            for block in others:
                made = made + block(x)
            x = made / self.blocks if others else made
        return torch.tanh(self.conv_post(F.leaky_relu(x, _LAST_SLOPE)))[:, 0, 0]
