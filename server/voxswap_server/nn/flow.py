"""Normalising flow between the prior's space and the generator's (VITS; upstream models.ResidualCouplingBlock).

Only the direction that inference needs: from the prior to the generator. Knows nothing of either.
"""

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from voxswap_server.nn.wn import Wn, WnConfig


@dataclass(frozen=True, slots=True)
class FlowConfig:
    width: int
    """Latent channels."""
    couplings: int
    wn: WnConfig

    @property
    def reach_frames(self) -> int:
        """Frames on either side that an output frame depends on."""
        return self.couplings * self.wn.reach_frames


class Coupling(nn.Module):
    """What one half of the channels says about the mean of the other."""

    def __init__(self, config: FlowConfig) -> None:
        super().__init__()
        half = config.width // 2
        self.pre = nn.Conv1d(half, config.wn.width, 1)
        self.wn = Wn(config.wn)
        self.post = nn.Conv1d(config.wn.width, half, 1)

    def forward(self, x: Tensor, speaker: Tensor) -> Tensor:
        """(B, C/2, T) and (B, gin, 1) -> (B, C/2, T)."""
        return self.post(self.wn(self.pre(x), speaker))


class Flow(nn.Module):
    """`couplings` stand in the order in which inference applies them: upstream's last one is the first here."""

    def __init__(self, config: FlowConfig) -> None:
        super().__init__()
        self.couplings = nn.ModuleList(Coupling(config) for _ in range(config.couplings))

    def forward(self, z: Tensor, speaker: Tensor) -> Tensor:
        """(B, C, T) and (B, gin, 1) -> (B, C, T)."""
        for coupling in self.couplings:
            first, second = z.flip(1).chunk(2, 1)
            z = torch.cat((first, second - coupling(first, speaker)), 1)
        return z
