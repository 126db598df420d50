"""The condition of the diffusion transformer with its place in time, convolved (ConvNeXt V2, Woo et al. 2023).

Knows nothing of times, of prompts or of the state that moves: it runs once for a whole integration.
"""

import torch
from torch import Tensor, nn
from torch.nn import functional as F

_KERNEL = 7
_EPSILON = 1e-6


class ConvNextBlock(nn.Module):
    """Its response looks at the whole time, so no part of a sequence can be encoded without the rest."""

    def __init__(self, width: int, inner: int) -> None:
        super().__init__()
        self.depthwise = nn.Conv1d(width, width, _KERNEL, padding=_KERNEL // 2, groups=width)
        self.norm = nn.LayerNorm(width, eps=_EPSILON)
        self.expand = nn.Linear(width, inner)
        self.gamma = nn.Parameter(torch.empty(inner))
        self.beta = nn.Parameter(torch.empty(inner))
        self.reduce = nn.Linear(inner, width)

    def forward(self, x: Tensor) -> Tensor:
        """(B, T, C) -> (B, T, C)."""
        y = self.norm(self.depthwise(x.transpose(1, 2)).transpose(1, 2))
        y = F.gelu(self.expand(y))
        energy = torch.linalg.vector_norm(y, dim=1, keepdim=True)  # of each channel, over time
        response = energy / (energy.mean(-1, keepdim=True) + _EPSILON)
        return x + self.reduce(self.gamma * (y * response) + self.beta + y)


class ConditionEmbedding(nn.Module):
    def __init__(self, width: int, inner: int, blocks: int) -> None:
        super().__init__()
        self.blocks = nn.Sequential(*(ConvNextBlock(width, inner) for _ in range(blocks)))

    def forward(self, condition: Tensor) -> Tensor:
        """(B, T, C) -> (B, T, C)."""
        T, C = condition.shape[1:]
        exponents = torch.arange(0, C, 2, device=condition.device, dtype=torch.float32) / C
        angles = torch.arange(T, device=condition.device)[:, None] * (1 / 10_000**exponents)
        return self.blocks(condition + torch.cat((angles.cos(), angles.sin()), -1).to(condition))
