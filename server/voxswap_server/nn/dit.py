"""Diffusion transformer: the velocity of the flow-matching decoder (Peebles & Xie 2023; F5-TTS, Chen et al. 2024).

Top-down: config, parts, network. Knows nothing of tokens, of prompts longer than one pass or of how the field is
integrated. Sequences of a batch have one length, and what they follow has one length too.

What the steps of an integration have in common is worked out before them, without any loss: what times say
(`Modulation`), the condition's encoding, and what the first layers make of frames that no moving frame reaches
(`Surroundings`). Inside, sequences are filled up to whole multiples of `FRAMES_TOGETHER`: libraries compile for each
length that they meet, and a GPU's graphs would be captured for each.
"""

import math
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final, cast

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from voxswap_server.nn.convnext import ConditionEmbedding
from voxswap_server.nn.products import GeluLinear, Linear, attention, linear

FRAMES_TOGETHER: Final = 32
_EPSILON = 1e-6
_SINUS_WIDTH = 256
_TIME_SCALE = 1000.0
_POSITION_KERNEL = 31


@dataclass(frozen=True, slots=True)
class DitConfig:
    bands: int
    condition_width: int
    width: int
    depth: int
    frequencies: tuple[float, ...]
    """Of the rotary positions, as the file has them; two channels of a head each."""
    feed_forward_width: int
    text_blocks: int
    text_inner_width: int
    position_groups: int
    lora_rank: int = 0
    """> 0: the attention's matrices are those of a base, and low-rank corrections are added to what they make."""

    @property
    def head_width(self) -> int:
        return 2 * len(self.frequencies)


@dataclass(frozen=True, slots=True)
class Modulation:
    """What the time says to every block; one row a step, worked out for all steps at once."""

    blocks: tuple[Tensor, ...]
    """Each (steps, 6 * width): shift, scale, gate of the attention, then of the feed-forward part."""
    last: Tensor
    """(steps, 2 * width): scale, shift."""

    @property
    def steps(self) -> int:
        return len(self.last)


@dataclass(frozen=True, slots=True)
class Surroundings:
    """What stays as it is while the frames behind the prompt move; the same at all steps."""

    frames: int
    """Of the whole sequence; longer tensors are filled up."""
    known: int
    """Frames at its beginning that are held at zero: the prompt's."""
    joined: Tensor
    """(B, filled, width): what prompt and condition bring to the joined input; zero in the filling."""
    settled: Tensor
    """(B, S, width): what goes into the first block at frames that are too far from the moving ones to change."""
    rotation: tuple[Tensor, Tensor]
    """Cosines and sines, each (filled, head_width), neighbouring channels alike."""


class TimeEmbedding(nn.Module):
    def __init__(self, width: int) -> None:
        super().__init__()
        self.linear1 = nn.Linear(_SINUS_WIDTH, width)
        self.linear2 = nn.Linear(width, width)

    def forward(self, time: Tensor) -> Tensor:
        """(N,) in 0..1 -> (N, width)."""
        half = _SINUS_WIDTH // 2
        steps = torch.arange(half, device=time.device, dtype=torch.float32) * -(math.log(10_000) / (half - 1))
        angles = _TIME_SCALE * time[:, None] * steps.exp()
        sinus = torch.cat((angles.sin(), angles.cos()), -1)
        return self.linear2(F.silu(self.linear1(sinus.to(self.linear1.weight))))


class PositionConvolution(nn.Module):
    """Tells frames where they stand among their neighbours."""

    reach_frames: Final = 2 * (_POSITION_KERNEL // 2)

    def __init__(self, width: int, groups: int) -> None:
        super().__init__()
        self.convs = nn.ModuleList(
            nn.Conv1d(width, width, _POSITION_KERNEL, padding=_POSITION_KERNEL // 2, groups=groups) for _ in range(2)
        )

    def forward(self, x: Tensor, frames: int) -> Tensor:
        """(B, T, C) -> (B, T, C); the sequence ends at `frames`, behind it x is zero and the answer means nothing."""
        y = x.transpose(1, 2)
        for conv in self.convs:
            y = F.mish(conv(y))
            y[..., frames:] = 0
        return x + y.transpose(1, 2)


class LoraLinear(nn.Linear):
    """Linear layers of one input stacked into one, each with its low-rank correction where there is a rank."""

    def __init__(self, width: int, layers: int, rank: int) -> None:
        super().__init__(width, layers * width)
        self.layers = layers
        self.down = nn.Parameter(torch.empty(layers * rank, width)) if rank else None
        self.up = nn.Parameter(torch.empty(layers, rank, width)) if rank else None

    def forward(self, x: Tensor, first: int = 0, last: int | None = None) -> Tensor:
        """The layers `first..last`: (B, T, C) -> (B, T, (last - first) * C)."""
        layers = range(self.layers)[first:last]
        rows = slice(layers.start * self.in_features, layers.stop * self.in_features)
        y = linear(x, self.weight[rows], self.bias[rows])
        if self.down is None or self.up is None:
            return y
        rank = self.up.shape[1]
        down = self.down[layers.start * rank : layers.stop * rank]
        inner = linear(x, down).view(*x.shape[:-1], len(layers), rank)
        correction = torch.einsum("btlr,lrc->btlc", inner, self.up[first:last])
        return y + correction.flatten(-2)


class Attention(nn.Module):
    def __init__(self, config: DitConfig) -> None:
        super().__init__()
        self.heads = config.width // config.head_width
        self.qkv = LoraLinear(config.width, 3, config.lora_rank)
        self.out = LoraLinear(config.width, 1, config.lora_rank)

    def forward(self, x: Tensor, rotation: tuple[Tensor, Tensor], frames: int, first: int = 0) -> Tensor:
        """(B, T, C), of which `frames` are heard -> (B, T - first, C), what each from `first` on hears."""
        B, T, _ = x.shape
        q = self.qkv(x[:, first:], 0, 1).view(B, T - first, self.heads, -1).transpose(1, 2)  # (B, H, T - first, C/H)
        k, v = self.qkv(x, 1, 3).view(B, T, 2, self.heads, -1).permute(2, 0, 3, 1, 4)  # each (B, H, T, C/H)
        # Upstream rotates before it splits the heads, by as many channels as one head has: only the first is turned.
        q[:, 0] = _rotated(q[:, 0], (rotation[0][first:], rotation[1][first:]))
        k[:, 0] = _rotated(k[:, 0], rotation)
        return cast("Tensor", self.out(attention(q, k, v, frames)))


class Block(nn.Module):
    """Attention and feed-forward, their norms steered by the time (AdaLN-zero)."""

    def __init__(self, config: DitConfig) -> None:
        super().__init__()
        self.modulation = nn.Linear(config.width, 6 * config.width)
        self.attention = Attention(config)
        self.expand = GeluLinear(config.width, config.feed_forward_width)
        self.reduce = Linear(config.feed_forward_width, config.width)

    def forward(
        self, x: Tensor, modulation: Tensor, rotation: tuple[Tensor, Tensor], frames: int, first: int = 0
    ) -> Tensor:
        """(B, T, C), of which `frames` are heard, modulation (6 * C,) -> (B, T - first, C), from `first` on."""
        shift, scale, gate, ff_shift, ff_scale, ff_gate = modulation.chunk(6)
        heard = self.attention(_normed(x, shift, scale), rotation, frames, first)
        x = torch.addcmul(x[:, first:], gate, heard)
        inner = self.expand(_normed(x, ff_shift, ff_scale))
        return torch.addcmul(x, ff_gate, self.reduce(inner))


class Dit(nn.Module):
    def __init__(self, config: DitConfig) -> None:
        super().__init__()
        self.config = config
        self.time = TimeEmbedding(config.width)
        self.step_size = TimeEmbedding(config.width)
        self.text = ConditionEmbedding(config.condition_width, config.text_inner_width, config.text_blocks)
        self.joined_in = nn.Linear(2 * config.bands + config.condition_width, config.width)
        self.positions = PositionConvolution(config.width, config.position_groups)
        self.blocks = nn.ModuleList(Block(config) for _ in range(config.depth))
        self.last_modulation = nn.Linear(config.width, 2 * config.width)
        self.out = Linear(config.width, config.bands)

    def modulations(self, steps: int) -> Modulation:
        """For the times 0, 1/steps, 2/steps and so on."""
        device = self.out.weight.device
        # Added up in single precision, as upstream does it, so that the times round alike.
        sizes = np.full(steps, 1 / steps, np.float32)
        times = np.concatenate((np.zeros(1, np.float32), np.add.accumulate(sizes)[:-1]))
        time, size = (torch.from_numpy(values).to(device) for values in (times, sizes))
        embedded = F.silu(self.time(time) + self.step_size(size))
        blocks = tuple(block.modulation(embedded) for block in cast("Iterable[Block]", self.blocks))
        return Modulation(blocks, self.last_modulation(embedded))

    def surroundings(self, text: Tensor, prompt: Tensor, known: int) -> Surroundings:
        """What all steps of an integration have in common.

        Args:
            text: (B, T, condition_width), as `self.text` made it of the condition.
            prompt: (B, T, bands), zero behind the prompt's frames.
            known: how many these are; there the state is zero at every step.
        """
        frames = text.shape[1]
        joined = self.joined_in(torch.cat((torch.zeros_like(prompt), prompt, text), -1))
        joined = F.pad(joined, (0, 0, 0, -frames % FRAMES_TOGETHER))
        near = max(FRAMES_TOGETHER, known + -known % FRAMES_TOGETHER)
        settled = self.positions(joined[:, :near], frames)[:, : max(0, known - self.positions.reach_frames)]
        return Surroundings(frames, known, joined, settled, self._rotation(joined))

    def forward(self, x: Tensor, around: Surroundings, modulation: Modulation, step: int) -> Tensor:
        """Velocity at one step, of the frames that move.

        Args:
            x: (B, T, bands), the state behind the known frames.
            around: what they stand in.
            modulation: of all steps.
            step: which of them.

        Returns:
            (B, T, bands)
        """
        frames, known = around.frames, around.known
        first = _rounded_down(known)
        x = self._placed(x, around)
        for index, (block, rows) in enumerate(zip(self.blocks, modulation.blocks, strict=True), 1):
            # Nobody asks what the last block makes of the known frames.
            x = block(x, rows[step], around.rotation, frames, first if index == self.config.depth else 0)
        scale, shift = modulation.last[step].chunk(2)
        return self.out(_normed(x, shift, scale))[:, known - first : frames - first]

    def _placed(self, x: Tensor, around: Surroundings) -> Tensor:
        """What goes into the first block: (B, T, bands) -> (B, filled, width)."""
        settled = around.settled.shape[1]
        start = _rounded_down(max(0, settled - self.positions.reach_frames))
        near = around.joined[:, start:].clone()
        near[:, around.known - start : around.frames - start] += F.linear(
            x, self.joined_in.weight[:, : self.config.bands]
        )
        placed = self.positions(near, around.frames - start)
        return torch.cat((around.settled, placed[:, settled - start :]), 1)

    def _rotation(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Cosines and sines, each (T, head_width), neighbouring channels alike."""
        frequencies = torch.tensor(self.config.frequencies, device=x.device)
        angles = torch.arange(x.shape[1], device=x.device)[:, None] * frequencies
        angles = angles.repeat_interleave(2, -1)
        return angles.cos().to(x), angles.sin().to(x)


def _rounded_down(frames: int) -> int:
    return frames - frames % FRAMES_TOGETHER


def _normed(x: Tensor, shift: Tensor, scale: Tensor) -> Tensor:
    return F.layer_norm(x, x.shape[-1:], 1 + scale, shift, _EPSILON)


def _rotated(x: Tensor, rotation: tuple[Tensor, Tensor]) -> Tensor:
    """Turns pairs of neighbouring channels: (B, T, head_width)."""
    cos, sin = rotation
    turned = torch.stack((-x[..., 1::2], x[..., ::2]), -1).flatten(-2)
    return x * cos + turned * sin
