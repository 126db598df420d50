"""What the decoders of all versions begin with: a codebook, and the prior that reads its tokens beside phones.

Knows nothing of what becomes of the prior's frames, nor of what else a version wants of a reference.
"""

from typing import cast

from torch import Tensor, nn

from voxswap_server.nn.mel_style import StyleConfig, StyleEncoder
from voxswap_server.nn.prior import PriorEncoder
from voxswap_server.nn.quantizer import nearest


class ReferenceSide(nn.Module):
    """What turns a reference into prompt tokens and a speaker."""

    def __init__(self, content_width: int, style: StyleConfig) -> None:
        super().__init__()
        self.content = nn.Conv1d(content_width, content_width, 2, stride=2)
        self.style = StyleEncoder(style)


class TokenSide(nn.Module):
    """The part of `decoder.Decoder` that is the same in all versions, over what each of them holds."""

    codebook: nn.Parameter
    """(tokens, content_width)"""
    prior: PriorEncoder
    reference: ReferenceSide

    @property
    def content_width(self) -> int:
        """As `Decoder.content_width`."""
        return self.codebook.shape[1]

    @property
    def token_weights(self) -> tuple[Tensor, ...]:
        """As `Decoder.token_weights`."""
        content = self.reference.content
        return (content.weight, cast("Tensor", content.bias), self.codebook)

    def prompt_tokens(self, content: Tensor) -> Tensor:
        """Content features (1, content_width, T at 50 Hz) -> (T // 2,) long."""
        return nearest(self.reference.content(content.to(self.codebook))[0].T, self.codebook)

    def attention(self, tokens: Tensor, phones: Tensor) -> Tensor:
        """As `Decoder.attention`."""
        device = self.codebook.device
        return self.prior.attention(self.codebook[tokens.to(device)][None], phones.to(device)[None])[0].float()
