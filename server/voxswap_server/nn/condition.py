"""From the prior's hidden frames to the frames that condition the flow-matching decoder (upstream's bridge and wns1).

Knows nothing of tokens. Used by v3 and v4.
"""

from dataclasses import dataclass
from fractions import Fraction

from torch import Tensor, nn
from torch.nn import functional as F

from voxswap_server.nn.wn import Wn, WnConfig, cut

_SLOPE = 0.01


@dataclass(frozen=True, slots=True)
class ConditionConfig:
    in_width: int
    wn: WnConfig


class ConditionEncoder(nn.Module):
    def __init__(self, config: ConditionConfig) -> None:
        super().__init__()
        width = config.wn.width
        self.bridge = nn.Sequential(nn.Conv1d(config.in_width, width, 1), nn.LeakyReLU(_SLOPE))
        self.pre = nn.Conv1d(width, width, 1)
        self.wn = Wn(config.wn)
        self.post = nn.Conv1d(width, width, 1)

    def forward(self, hidden: Tensor, speaker: Tensor, stretch: Fraction, frames: int) -> Tensor:
        """Hidden (B, T, in_width), speaker (B, gin, 1) -> (B, C, int(T * stretch)).

        What lies at or beyond `frames`, the length that upstream tells its mask, is zero.
        """
        x = self.bridge(hidden.transpose(1, 2))
        x = F.interpolate(x, scale_factor=float(stretch), mode="nearest")
        x = cut(self.pre(x), frames)
        return cut(self.post(self.wn(x, speaker, frames)), frames)
