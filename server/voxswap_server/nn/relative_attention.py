"""Transformer encoder with relative positions, as VITS has it (Kim et al. 2021; Shaw et al. 2018).

Knows nothing of what its sequences mean. Sequences of a batch have one length: nothing is padded, nothing is masked.
Sequences of several lengths may stand one behind the other in a row: each is computed as if it were alone, but for
rounding, and weights are put in order once for all of them.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from voxswap_server.nn.convolution import lengthened


@dataclass(frozen=True, slots=True)
class EncoderConfig:
    width: int
    heads: int
    layers: int
    feed_forward_width: int
    kernel: int
    """Of the two convolutions of the feed-forward part."""
    window: int = 4
    """Positions further apart than this are told apart by content only."""


class RelativeAttention(nn.Module):
    """Self-attention whose heads share one learnt vector per offset, for the keys and for the values."""

    def __init__(self, config: EncoderConfig) -> None:
        super().__init__()
        self.heads = config.heads
        self.window = config.window
        head_width = config.width // config.heads
        self.qkv = nn.Linear(config.width, 3 * config.width)
        self.key_offsets = nn.Parameter(torch.empty(2 * config.window + 1, head_width))
        self.value_offsets = nn.Parameter(torch.empty(2 * config.window + 1, head_width))
        self.out = nn.Linear(config.width, config.width)

    def forward(self, x: Tensor, lengths: Sequence[int] = ()) -> Tensor:
        """(B, T, C) -> (B, T, C); `lengths` of sequences that stand in a row, T in all, where it is not one."""
        parts = [self._heard(part) for part in self.qkv(x).split(list(lengths) or [x.shape[1]], 1)]
        mixed: Tensor = self.out(torch.cat(parts, 1) if lengths else parts[0])
        return mixed

    def _heard(self, qkv: Tensor) -> Tensor:
        """One sequence: (B, T, 3C) -> (B, T, C)."""
        B, T, _ = qkv.shape
        q, k, v = qkv.view(B, T, 3, self.heads, -1).permute(2, 0, 3, 1, 4)  # each (B, H, T, C/H)
        q = q * q.shape[-1] ** -0.5
        by_offset = q @ self.key_offsets.T  # (B, H, T, 2w+1)
        # Left and right of each row there is room for the offsets that lead out of the sequence.
        scores = F.pad(q @ k.transpose(-1, -2), (self.window, self.window))
        _band(scores, self.window).add_(by_offset)
        weights = F.pad(scores[..., self.window : self.window + T].softmax(-1), (self.window, self.window))
        band = _band(weights, self.window)
        mixed = weights[..., self.window : self.window + T] @ v + band @ self.value_offsets
        return mixed.transpose(1, 2).reshape(B, T, -1)


def _band(rows: Tensor, window: int) -> Tensor:
    """The places within the window of each position, a view: (B, H, T, T + 2w) -> (B, H, T, 2w+1)."""
    *outer, length, _ = rows.shape
    *strides, row, one = rows.stride()
    return rows.as_strided((*outer, length, 2 * window + 1), (*strides, row + one, one))


class FeedForward(nn.Module):
    """Two convolutions that keep the length, with ReLU between them."""

    def __init__(self, config: EncoderConfig) -> None:
        super().__init__()
        self.conv1 = nn.Conv1d(config.width, config.feed_forward_width, config.kernel, padding="same")
        self.conv2 = nn.Conv1d(config.feed_forward_width, config.width, config.kernel, padding="same")

    def forward(self, x: Tensor, lengths: Sequence[int] = ()) -> Tensor:
        """(B, T, C) -> (B, T, C); `lengths` as of `RelativeAttention.forward`."""
        gaps, x = self._gaps(lengths), x.transpose(1, 2)
        if gaps:
            x = _spread(x, lengths, gaps)
        length = x.shape[-1]
        inner = F.relu(self.conv1(lengthened(x))[..., :length], inplace=True)
        for start, stop in gaps:
            inner[..., start:stop] = 0
        y: Tensor = self.conv2(lengthened(inner))[..., :length]
        if gaps:
            y = _gathered(y, gaps)
        return y.transpose(1, 2)

    def _gaps(self, lengths: Sequence[int]) -> list[tuple[int, int]]:
        """Where zeros stand between sequences, as many as a kernel reaches."""
        reach, found, start = self.conv1.weight.shape[-1] - 1, list[tuple[int, int]](), 0
        for length in lengths[:-1]:
            found.append((start + length, start + length + reach))
            start += length + reach
        return found


def _spread(x: Tensor, lengths: Sequence[int], gaps: Sequence[tuple[int, int]]) -> Tensor:
    """(B, C, T) with zeros in the gaps between sequences of these lengths."""
    wide = x.new_zeros(*x.shape[:2], x.shape[2] + sum(stop - start for start, stop in gaps))
    for part, start in zip(torch.split(x, list(lengths), 2), (0, *(stop for _, stop in gaps)), strict=True):
        wide[..., start : start + part.shape[2]] = part
    return wide


def _gathered(x: Tensor, gaps: Sequence[tuple[int, int]]) -> Tensor:
    """(B, C, T) without the gaps."""
    begins, ends = (0, *(stop for _, stop in gaps)), (*(start for start, _ in gaps), x.shape[2])
    return torch.cat([x[..., begin:end] for begin, end in zip(begins, ends, strict=True)], 2)


class EncoderLayer(nn.Module):
    """Attention and feed-forward, each followed by addition and normalisation."""

    def __init__(self, config: EncoderConfig) -> None:
        super().__init__()
        self.attention = RelativeAttention(config)
        self.norm1 = nn.LayerNorm(config.width)
        self.feed_forward = FeedForward(config)
        self.norm2 = nn.LayerNorm(config.width)

    def forward(self, x: Tensor, lengths: Sequence[int] = ()) -> Tensor:
        """(B, T, C) -> (B, T, C); `lengths` as of `RelativeAttention.forward`."""
        x = self.norm1(x + self.attention(x, lengths))
        return self.norm2(x + self.feed_forward(x, lengths))


class RelativeEncoder(nn.Sequential):
    """(B, T, C) -> (B, T, C): the layers one after the other (upstream attentions.Encoder)."""

    def __init__(self, config: EncoderConfig) -> None:
        super().__init__(*(EncoderLayer(config) for _ in range(config.layers)))

    def forward(self, x: Tensor, lengths: Sequence[int] = ()) -> Tensor:
        """(B, T, C) -> (B, T, C); `lengths` as of `RelativeAttention.forward`."""
        for layer in self:
            x = layer(x, lengths)
        return x
