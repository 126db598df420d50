"""Convolutions over time whose memory is laid out channel by channel for each frame (channels last).

The same sums as PyTorch's own one-dimensional layers, which keep each channel's frames together and make the CPU's
kernels reorder them at every call: here nothing is reordered, which makes a whole generator 1.1 to 1.2 times faster.
Weights lie as the kernels want them too: (out, kernel, in). Knows nothing of networks.
"""

import torch
from torch import Tensor, nn
from torch.nn import functional as F


def as_frames(x: Tensor) -> Tensor:
    """(B, C, N) -> (B, C, 1, N), the layout of everything here."""
    return x.unsqueeze(2).contiguous(memory_format=torch.channels_last)


class FrameConv(nn.Module):
    """Keeps the length: the kernel is odd."""

    def __init__(self, in_width: int, out_width: int, kernel: int, *, dilation: int = 1, bias: bool = True) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.empty(out_width, kernel, in_width))
        self.bias = nn.Parameter(torch.empty(out_width)) if bias else None
        self.dilation = dilation

    def forward(self, x: Tensor) -> Tensor:
        """(B, in, 1, N) -> (B, out, 1, N)."""
        padding = self.dilation * (self.weight.shape[1] // 2)
        weight = self.weight.transpose(1, 2).unsqueeze(2)
        return F.conv2d(x, weight, self.bias, padding=(0, padding), dilation=(1, self.dilation))


class FrameUpsampling(nn.Module):
    """Transposed: multiplies the length by `rate`; the kernel is longer than the rate by an even number."""

    def __init__(self, in_width: int, out_width: int, kernel: int, rate: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.empty(in_width, kernel, out_width))
        self.bias = nn.Parameter(torch.empty(out_width))
        self.rate = rate

    def forward(self, x: Tensor) -> Tensor:
        """(B, in, 1, N) -> (B, out, 1, rate * N)."""
        if self.weight.shape[1] == self.rate:
            return self._apart(x)
        padding = (self.weight.shape[1] - self.rate) // 2
        weight = self.weight.transpose(1, 2).unsqueeze(2)
        return F.conv_transpose2d(x, weight, self.bias, stride=(1, self.rate), padding=(0, padding))

    def _apart(self, x: Tensor) -> Tensor:
        """Where the kernel is as long as the rate nothing overlaps, so it is one product for each frame.

        PyTorch would compile kernels for every length of a transposed convolution, and takes most time for these.
        """
        rows = x.permute(0, 2, 3, 1)
        y = F.linear(rows, self.weight.flatten(1).T, self.bias.repeat(self.rate))
        return y.reshape(*rows.shape[:2], -1, self.bias.numel()).permute(0, 3, 1, 2)
