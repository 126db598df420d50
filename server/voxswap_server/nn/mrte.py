"""Joins the content of the speech with its phones and its speaker (MRTE of Mega-TTS 2; upstream models.MRTE).

Knows nothing of how the three were encoded.
"""

from dataclasses import dataclass

from torch import Tensor, nn
from torch.nn import functional as F


@dataclass(frozen=True, slots=True)
class MrteConfig:
    in_width: int
    """Channels of content and phones, and of what comes out."""
    width: int
    heads: int


class Mrte(nn.Module):
    """Content asks, phones answer; content and speaker are added to the answer."""

    def __init__(self, config: MrteConfig) -> None:
        super().__init__()
        self.heads = config.heads
        self.content_in = nn.Linear(config.in_width, config.width)
        self.phones_in = nn.Linear(config.in_width, config.width)
        self.query = nn.Linear(config.width, config.width)
        self.key_value = nn.Linear(config.width, 2 * config.width)
        self.out = nn.Linear(config.width, config.width)
        self.joined_out = nn.Linear(config.width, config.in_width)

    def forward(self, content: Tensor, phones: Tensor, speaker: Tensor) -> Tensor:
        """Content (B, T, C), phones (B, P, C), speaker (B, 1, width) -> (B, T, C)."""
        content, phones = self.content_in(content), self.phones_in(phones)
        query = self._split(self.query(content))
        key, value = (self._split(half) for half in self.key_value(phones).chunk(2, -1))
        answer = F.scaled_dot_product_attention(query, key, value)
        answer = self.out(answer.transpose(1, 2).reshape(content.shape))
        return self.joined_out(answer + content + speaker)

    def attention(self, content: Tensor, phones: Tensor) -> Tensor:
        """Which phones each frame of content asks, the mean of the heads: (B, T, C), (B, P, C) -> (B, T, P)."""
        query = self._split(self.query(self.content_in(content)))
        key = self._split(self.key_value(self.phones_in(phones)).chunk(2, -1)[0])
        return (query @ key.transpose(-1, -2) / query.shape[-1] ** 0.5).softmax(-1).mean(1)

    def _split(self, x: Tensor) -> Tensor:
        return x.view(x.shape[0], x.shape[1], self.heads, -1).transpose(1, 2)
