"""The flow of the decoder as it is trained: from the prior's space to the generator's, the only direction needed.

The couplings that are applied first make better spectra of what the prior says, the last ones make the phase of the
voice (`source.py`); neither hear or change what is the others'. Knows nothing of data and losses.
"""

from collections.abc import Sequence
from collections.abc import Set as AbstractSet
from typing import Final

import torch
from torch import Tensor, nn

from voxswap_training.channels import SOURCE_HEARS, SOURCE_SAYS, SPOKEN
from voxswap_training.confined import confine
from voxswap_training.shape import SovitsShape

SOURCE_COUPLINGS: Final = 2
"""An even number, so that channels come as they were."""


class _Wn(nn.Module):
    def __init__(self, shape: SovitsShape) -> None:
        super().__init__()
        width, layers = shape.flow_width, shape.flow_layers
        self.cond_layer = nn.Conv1d(shape.gin_channels, 2 * width * layers, 1)
        self.in_layers = nn.ModuleList(nn.Conv1d(width, 2 * width, 5, padding=2) for _ in range(layers))
        self.res_skip_layers = nn.ModuleList(
            nn.Conv1d(width, width if layer == layers - 1 else 2 * width, 1) for layer in range(layers)
        )

    def forward(self, x: Tensor, mask: Tensor, speaker: Tensor) -> Tensor:
        total = torch.zeros_like(x)
        shifts = self.cond_layer(speaker).chunk(len(self.in_layers), 1)
        for gate, out, shift in zip(self.in_layers, self.res_skip_layers, shifts, strict=True):
            a, b = (gate(x) + shift).chunk(2, 1)
            y = out(torch.tanh(a) * torch.sigmoid(b))
            if y.shape[1] == x.shape[1]:
                total = total + y
            else:
                residual, skip = y.chunk(2, 1)
                x = (x + residual) * mask
                total = total + skip
        return total * mask


class _Coupling(nn.Module):
    def __init__(self, shape: SovitsShape, order: Sequence[int], *, source: bool) -> None:
        """`order`: the channels as they come, those that are heard before those that are changed."""
        super().__init__()
        half = shape.inter_channels // 2
        self.pre = nn.Conv1d(half, shape.flow_width, 1)
        self.enc = _Wn(shape)
        self.post = nn.Conv1d(shape.flow_width, half, 1)
        nn.init.zeros_(self.post.weight)
        nn.init.zeros_(self.post.bias)  # type: ignore[arg-type]
        hears, says = (SOURCE_HEARS, SOURCE_SAYS) if source else (SPOKEN, SPOKEN)
        confine(self.pre, hears=_places(hears, order[:half]))
        confine(self.post, says=_places(says, order[half:]))
        if source:  # a phase is nobody's
            confine(self.enc.cond_layer, hears=())

    def forward(self, x: Tensor, mask: Tensor, speaker: Tensor) -> Tensor:
        return self.post(self.enc(self.pre(x) * mask, mask, speaker)) * mask


def _places(channels: AbstractSet[int], order: Sequence[int]) -> list[int]:
    return [place for place, channel in enumerate(order) if channel in channels]


class Flow(nn.Module):
    """The couplings are numbered from the last that is applied."""

    def __init__(self, shape: SovitsShape) -> None:
        super().__init__()
        self.speaker_channels = shape.gin_channels
        order = range(shape.inter_channels)
        self.flows = nn.ModuleDict(
            {
                str(2 * index): _Coupling(
                    shape, order if index % 2 == 0 else order[::-1], source=index < SOURCE_COUPLINGS
                )
                for index in range(shape.couplings)
            }
        )

    def forward(self, z: Tensor, mask: Tensor, speaker: Tensor) -> Tensor:
        """(B, C, T), mask of real frames (B, 1, T), (B, gin, 1) -> (B, C, T)."""
        for coupling in reversed(list(self.flows.values())):
            first, second = z.flip(1).chunk(2, 1)
            z = torch.cat((first, second - coupling(first, mask, speaker)), 1)
        return z
