"""Convolutions over time whose memory is laid out channel by channel for each frame (channels last).

The same sums as PyTorch's own one-dimensional layers, which keep each channel's frames together and make the CPU's
kernels reorder them at every call: here nothing is reordered, which makes a whole generator 1.1 to 1.2 times faster.
Weights lie as the kernels want them too: (out, kernel, in). Those between equal widths have kernels of our own on the
CPU, for whoever brings threads. Knows nothing of networks.
"""

from functools import cache

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from voxswap_server.nn.native.compiler import processor
from voxswap_server.nn.native.convolution import Plan, Shape, convolution_code
from voxswap_server.nn.native.team import Team


def as_frames(x: Tensor) -> Tensor:
    """(B, C, N) -> (B, C, 1, N), the layout of everything here."""
    return x.unsqueeze(2).contiguous(memory_format=torch.channels_last)


def few_lengths(length: int) -> int:
    """The length, or the next of the four in each octave that there are: at most a quarter more."""
    step = 1 << max(0, length.bit_length() - 3)
    return -(-length // step) * step


def lengthened(x: Tensor) -> Tensor:
    """(..., N) -> (..., `few_lengths`): zeros follow, as a convolution that keeps the length takes for granted.

    PyTorch compiles and keeps a convolution for each length that it meets, with tables as long as the sequence.
    """
    return F.pad(x, (0, few_lengths(x.shape[-1]) - x.shape[-1]))


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
        y = F.conv2d(lengthened(x), weight, self.bias, padding=(0, padding), dilation=(1, self.dilation))
        return y[..., : x.shape[-1]]

    def activated(self, x: Tensor, slope: float, *, onto: Tensor | None = None, team: Team | None = None) -> Tensor:
        """The same of leaky ReLU(x), with what lies in `onto` added.

        Args:
            x: (B, in, 1, N)
            slope: of the leaky ReLU, at most 1.
            onto: (B, out, 1, N)
            team: runs our kernels where they compute this; they round otherwise than PyTorch's.

        Returns:
            (B, out, 1, N)
        """
        shape = self._kernel_shape()
        if team is None or shape is None or x.dtype != torch.float32:
            y = self(F.leaky_relu(x, slope))
            return y if onto is None else y.add_(onto)
        return self._by_kernels(x, slope, onto, shape, team)

    def prepare(self, slope: float) -> None:
        """Compiles what `activated` takes on a CPU, which otherwise its first call would wait for."""
        shape = self._kernel_shape()
        if shape is not None:
            convolution_code(shape, slope)

    def _kernel_shape(self) -> Shape | None:
        """What our kernels are made for; None where they do not compute this."""
        out, kernel, inner = self.weight.shape
        fits = out == inner and self.weight.dtype == torch.float32 and self.weight.device.type == "cpu"
        return Shape.of(out, kernel, processor()) if fits else None

    def _by_kernels(self, x: Tensor, slope: float, onto: Tensor | None, shape: Shape, team: Team) -> Tensor:
        rows = x.permute(0, 2, 3, 1).contiguous()  # (B, 1, N, C)
        added = None if onto is None else onto.permute(0, 2, 3, 1).contiguous()
        (channels, kernel, _), positions, y = self.weight.shape, x.shape[-1], torch.empty_like(rows)
        weight, bias = self.weight.contiguous(), _zeros(channels) if self.bias is None else self.bias
        plan = Plan.of(shape, channels, positions, kernel, self.dilation, team.threads)
        scratch = torch.empty(plan.scratch_floats)
        entry = convolution_code(shape, slope).address("convolve")
        numbers = positions, channels, kernel, self.dilation, plan.parts, plan.size, plan.blocks
        for row in range(x.shape[0]):
            places = [part[row].data_ptr() for part in (rows, y)] + [part.data_ptr() for part in (weight, bias)]
            other = 0 if added is None else added[row].data_ptr()
            team.run(entry, torch.tensor((*places, other, scratch.data_ptr(), *numbers), dtype=torch.int64))
        return y.permute(0, 3, 1, 2)


@cache
def _zeros(count: int) -> Tensor:
    return torch.zeros(count)


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
        y = F.conv_transpose2d(lengthened(x), weight, self.bias, stride=(1, self.rate), padding=(0, padding))
        return y[..., : self.rate * x.shape[-1]]

    def _apart(self, x: Tensor) -> Tensor:
        """Where the kernel is as long as the rate nothing overlaps, so it is one product for each frame.

        PyTorch would compile kernels for every length of a transposed convolution, and takes most time for these.
        """
        rows = x.permute(0, 2, 3, 1)
        y = F.linear(rows, self.weight.flatten(1).T, self.bias.repeat(self.rate))
        return y.reshape(*rows.shape[:2], -1, self.bias.numel()).permute(0, 3, 1, 2)
