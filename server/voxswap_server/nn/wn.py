"""Gated convolutions with residual and skip connections (WaveNet's stack as VITS uses it; upstream modules.WN).

Knows nothing of what conditions it.
"""

from dataclasses import dataclass

import torch
from torch import Tensor, nn


@dataclass(frozen=True, slots=True)
class WnConfig:
    width: int
    layers: int
    kernel: int
    condition_width: int

    @property
    def reach_frames(self) -> int:
        """Frames on either side that an output frame depends on."""
        return self.layers * (self.kernel // 2)


class Wn(nn.Module):
    def __init__(self, config: WnConfig) -> None:
        super().__init__()
        width, layers = config.width, config.layers
        self.condition = nn.Conv1d(config.condition_width, 2 * width * layers, 1)
        self.gates = nn.ModuleList(
            nn.Conv1d(width, 2 * width, config.kernel, padding=config.kernel // 2) for _ in range(layers)
        )
        # The last layer has nothing to hand on, only its skip.
        self.outs = nn.ModuleList(
            nn.Conv1d(width, width if layer == layers - 1 else 2 * width, 1) for layer in range(layers)
        )

    def forward(self, x: Tensor, condition: Tensor, frames: int | None = None) -> Tensor:
        """(B, C, T) and (B, condition_width, 1) -> (B, C, T).

        `frames` is where the sequence ends, None for all: what lies behind is zeroed after every layer, as upstream's
        mask does where a tensor is longer than the length it was told.
        """
        skips = torch.zeros_like(x)
        conditions = self.condition(condition).chunk(len(self.gates), 1)
        for gate, out, shift in zip(self.gates, self.outs, conditions, strict=True):
            a, b = (gate(x) + shift).chunk(2, 1)
            y = out(torch.tanh(a) * torch.sigmoid(b))
            if y.shape[1] == x.shape[1]:
                skips = skips + y
            else:
                residual, skip = y.chunk(2, 1)
                x = cut(x + residual, frames)
                skips = skips + skip
        return cut(skips, frames)


def cut(x: Tensor, frames: int | None) -> Tensor:
    """Zeroes what lies at or beyond `frames`: (B, C, T) -> (B, C, T)."""
    if frames is None or frames >= x.shape[-1]:
        return x
    x = x.clone()
    x[..., frames:] = 0
    return x
