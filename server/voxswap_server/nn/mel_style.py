"""Reference encoder: a spectrogram to one vector that says who speaks (MelStyleEncoder of Meta-StyleSpeech).

Knows nothing of how the spectrogram was made; the lowest `bins` of it are used.
"""

from dataclasses import dataclass

from torch import Tensor, nn
from torch.nn import functional as F


@dataclass(frozen=True, slots=True)
class StyleConfig:
    bins: int
    width: int
    heads: int
    kernel: int
    out_width: int


class StyleEncoder(nn.Module):
    def __init__(self, config: StyleConfig) -> None:
        super().__init__()
        width = config.width
        self.bins = config.bins
        self.heads = config.heads
        self.spectral = nn.ModuleList((nn.Linear(config.bins, width), nn.Linear(width, width)))
        self.temporal = nn.ModuleList(
            nn.Conv1d(width, 2 * width, config.kernel, padding=config.kernel // 2) for _ in range(2)
        )
        self.qkv = nn.Linear(width, 3 * width)
        self.attention_out = nn.Linear(width, width)
        self.out = nn.Linear(width, config.out_width)

    def forward(self, spectrum: Tensor) -> Tensor:
        """(B, at least `bins`, T) -> (B, out_width, 1)."""
        x = spectrum[:, : self.bins].transpose(1, 2)
        for linear in self.spectral:
            x = F.mish(linear(x))
        x = x.transpose(1, 2)  # (B, C, T)
        for conv in self.temporal:
            x = x + F.glu(conv(x), 1)
        x = x.transpose(1, 2)
        x = x + self._attend(x)
        return self.out(x).mean(1).unsqueeze(-1)

    def _attend(self, x: Tensor) -> Tensor:
        B, T, C = x.shape
        q, k, v = self.qkv(x).view(B, T, 3, self.heads, -1).permute(2, 0, 3, 1, 4)
        # Upstream divides by the root of the whole width, not of a head's.
        mixed = F.scaled_dot_product_attention(q, k, v, scale=C**-0.5)
        return self.attention_out(mixed.transpose(1, 2).reshape(B, T, C))
