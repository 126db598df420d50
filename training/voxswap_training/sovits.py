"""The SoVITS decoder as it is trained: upstream's parameter names, padding masks, gradients.

`nn/vits.py` of the server is the same network as it is used; `tests/training` holds the two together. Weights are
plain here; the export writes them under weight norm, as upstream has them. Widths are free where upstream's code fixes
them (content, MRTE, couplings): the importer takes every width from the tensors. Knows nothing of data and losses.
"""

import math
from typing import Final

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from voxswap_training.channels import CHANNELS, NOISE, SPOKEN
from voxswap_training.confined import confine
from voxswap_training.flow import Flow
from voxswap_training.generator import Generator
from voxswap_training.shape import SovitsShape

REFERENCE_BINS: Final = 704
_NOISE_SCALE: Final = 0.5
_FIRST_LOG_STD: Final = -2.0
"""Of what is said: training starts with little noise."""
_NOISE_LOG_STD: Final = -math.log(_NOISE_SCALE)
_EMPTY_LOG_STD: Final = -20.0
_MRTE_HEADS: Final = 4
_STYLE_HEADS: Final = 2
_WINDOW: Final = 4


class _Norm(nn.Module):
    """Over channels."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.gamma = nn.Parameter(torch.ones(width))
        self.beta = nn.Parameter(torch.zeros(width))

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, T) -> (B, C, T)."""
        return F.layer_norm(x.transpose(1, 2), self.gamma.shape, self.gamma, self.beta, 1e-5).transpose(1, 2)


def _square(width: int) -> nn.Conv1d:
    conv = nn.Conv1d(width, width, 1)
    nn.init.xavier_uniform_(conv.weight)
    return conv


class _RelativeAttention(nn.Module):
    def __init__(self, shape: SovitsShape) -> None:
        super().__init__()
        width, self.heads = shape.hidden_channels, shape.n_heads
        self.conv_q, self.conv_k, self.conv_v, self.conv_o = (_square(width) for _ in range(4))
        head = width // self.heads
        self.emb_rel_k = nn.Parameter(torch.randn(1, 2 * _WINDOW + 1, head) * head**-0.5)
        self.emb_rel_v = nn.Parameter(torch.randn(1, 2 * _WINDOW + 1, head) * head**-0.5)

    def forward(self, x: Tensor, blocked: Tensor) -> Tensor:
        """(B, C, T), blocked keys (B, 1, 1, T) -> (B, C, T)."""
        B, C, T = x.shape
        q, k, v = (
            conv(x).view(B, self.heads, -1, T).transpose(2, 3) for conv in (self.conv_q, self.conv_k, self.conv_v)
        )
        q = q * q.shape[-1] ** -0.5
        place = torch.arange(T, device=x.device)
        offset = place[None] - place[:, None]  # (T, T): key - query
        near = offset.abs() <= _WINDOW
        column = (offset.clamp(-_WINDOW, _WINDOW) + _WINDOW).expand(B, self.heads, T, T)
        bias = (q @ self.emb_rel_k[0].T).gather(-1, column) * near
        scores = (q @ k.transpose(-1, -2) + bias).masked_fill(blocked, -1e4)
        weights = scores.softmax(-1)
        around = place[:, None] + torch.arange(-_WINDOW, _WINDOW + 1, device=x.device)
        inside = (around >= 0) & (around < T)
        band = weights.gather(-1, around.clamp(0, T - 1).expand(B, self.heads, T, -1)) * inside
        mixed = weights @ v + band @ self.emb_rel_v[0]
        return self.conv_o(mixed.transpose(2, 3).reshape(B, C, T))


class _FeedForward(nn.Module):
    def __init__(self, shape: SovitsShape) -> None:
        super().__init__()
        width, inner, kernel = shape.hidden_channels, shape.filter_channels, shape.kernel_size
        self.conv_1 = nn.Conv1d(width, inner, kernel, padding=kernel // 2)
        self.conv_2 = nn.Conv1d(inner, width, kernel, padding=kernel // 2)

    def forward(self, x: Tensor, mask: Tensor) -> Tensor:
        return self.conv_2(F.relu(self.conv_1(x * mask)) * mask) * mask


class _Encoder(nn.Module):
    def __init__(self, shape: SovitsShape, layers: int) -> None:
        super().__init__()
        width = shape.hidden_channels
        self.attn_layers = nn.ModuleList(_RelativeAttention(shape) for _ in range(layers))
        self.norm_layers_1 = nn.ModuleList(_Norm(width) for _ in range(layers))
        self.ffn_layers = nn.ModuleList(_FeedForward(shape) for _ in range(layers))
        self.norm_layers_2 = nn.ModuleList(_Norm(width) for _ in range(layers))

    def forward(self, x: Tensor, mask: Tensor, dropout: float) -> Tensor:
        """(B, C, T), mask (B, 1, T) -> (B, C, T)."""
        blocked = mask[:, None] == 0
        x = x * mask
        for attend, norm1, feed, norm2 in zip(
            self.attn_layers, self.norm_layers_1, self.ffn_layers, self.norm_layers_2, strict=True
        ):
            x = norm1(x + F.dropout(attend(x, blocked), dropout, self.training))
            x = norm2(x + F.dropout(feed(x, mask), dropout, self.training))
        return x * mask


class _CrossAttention(nn.Module):
    def __init__(self, width: int) -> None:
        super().__init__()
        self.conv_q, self.conv_k, self.conv_v, self.conv_o = (_square(width) for _ in range(4))

    def forward(self, x: Tensor, memory: Tensor, blocked: Tensor) -> Tensor:
        """(B, C, T), (B, C, P), blocked keys (B, 1, 1, P) -> (B, C, T)."""

        def split(y: Tensor) -> Tensor:
            return y.view(len(y), _MRTE_HEADS, -1, y.shape[-1]).transpose(2, 3)

        q, k, v = split(self.conv_q(x)), split(self.conv_k(memory)), split(self.conv_v(memory))
        mixed = F.scaled_dot_product_attention(q, k, v, ~blocked)
        return self.conv_o(mixed.transpose(2, 3).reshape(x.shape))


class _Mrte(nn.Module):
    def __init__(self, shape: SovitsShape) -> None:
        super().__init__()
        width = shape.gin_channels
        self.cross_attention = _CrossAttention(width)
        self.c_pre = nn.Conv1d(shape.hidden_channels, width, 1)
        self.text_pre = nn.Conv1d(shape.hidden_channels, width, 1)
        self.c_post = nn.Conv1d(width, shape.hidden_channels, 1)

    def forward(self, content: Tensor, mask: Tensor, text: Tensor, text_mask: Tensor, speaker: Tensor) -> Tensor:
        content, text = self.c_pre(content * mask), self.text_pre(text * text_mask)
        x = self.cross_attention(content * mask, text * text_mask, text_mask[:, None] == 0) + content + speaker
        return self.c_post(x * mask)


class _Prior(nn.Module):
    """enc_p."""

    def __init__(self, shape: SovitsShape) -> None:
        super().__init__()
        if shape.inter_channels != CHANNELS:
            raise ValueError(f"the generator's input has {CHANNELS} channels, not {shape.inter_channels}")
        width = shape.hidden_channels
        self.ssl_proj = nn.Conv1d(shape.content_width, width, 1)
        self.encoder_ssl = _Encoder(shape, shape.n_layers // 2)
        self.text_embedding = nn.Embedding(shape.phones, width)
        self.encoder_text = _Encoder(shape, shape.n_layers)
        self.mrte = _Mrte(shape)
        self.encoder2 = _Encoder(shape, shape.n_layers // 2)
        self.proj = nn.Conv1d(width, 2 * shape.inter_channels, 1)
        confine(self.proj, says=[*SPOKEN, *(CHANNELS + channel for channel in SPOKEN)])
        with torch.no_grad():
            for channel, log_std in enumerate(self.proj.bias[CHANNELS:]):  # type: ignore[index]
                log_std.fill_(
                    _FIRST_LOG_STD if channel in SPOKEN else _NOISE_LOG_STD if channel in NOISE else _EMPTY_LOG_STD
                )

    def forward(
        self, content: Tensor, mask: Tensor, phones: Tensor, text_mask: Tensor, speaker: Tensor, dropout: float
    ) -> tuple[Tensor, Tensor]:
        x = self.encoder_ssl(self.ssl_proj(content) * mask, mask, dropout)
        text = self.encoder_text(self.text_embedding(phones).transpose(1, 2), text_mask, dropout)
        x = self.encoder2(self.mrte(x, mask, text, text_mask, speaker), mask, dropout)
        mean, log_std = (self.proj(x) * mask).chunk(2, 1)
        return mean, log_std


class _Named(nn.Module):
    """A layer one name deeper, as upstream has it."""

    def __init__(self, name: str, layer: nn.Module) -> None:
        super().__init__()
        self.name = name
        self.add_module(name, layer)

    def forward(self, x: Tensor) -> Tensor:
        layer: nn.Module = getattr(self, self.name)
        return layer(x)


class _StyleAttention(nn.Module):
    def __init__(self, width: int) -> None:
        super().__init__()
        self.w_qs, self.w_ks, self.w_vs, self.fc = (nn.Linear(width, width) for _ in range(4))

    def forward(self, x: Tensor) -> Tensor:
        """(B, T, C) -> (B, T, C); divided by the root of the whole width, as upstream does."""
        B, T, C = x.shape
        q, k, v = (layer(x).view(B, T, _STYLE_HEADS, -1).transpose(1, 2) for layer in (self.w_qs, self.w_ks, self.w_vs))
        mixed = F.scaled_dot_product_attention(q, k, v, scale=C**-0.5)
        return self.fc(mixed.transpose(1, 2).reshape(B, T, C))


class _Style(nn.Module):
    """ref_enc."""

    def __init__(self, shape: SovitsShape) -> None:
        super().__init__()
        width = shape.style_width
        first, second = _Named("fc", nn.Linear(REFERENCE_BINS, width)), _Named("fc", nn.Linear(width, width))
        self.spectral = nn.ModuleDict({"0": first, "3": second})
        self.temporal = nn.ModuleList(
            _Named("conv1", _Named("conv", nn.Conv1d(width, 2 * width, 5, padding=2))) for _ in range(2)
        )
        self.slf_attn = _StyleAttention(width)
        self.fc = _Named("fc", nn.Linear(width, shape.gin_channels))

    def forward(self, spectrum: Tensor) -> Tensor:
        """(B, REFERENCE_BINS, F) -> (B, gin, 1)."""
        x = spectrum.transpose(1, 2)
        x = F.mish(self.spectral["0"](x))
        x = F.mish(self.spectral["3"](x)).transpose(1, 2)
        for conv in self.temporal:
            x = x + F.glu(conv(x), 1)
        x = x.transpose(1, 2)
        x = x + self.slf_attn(x)
        return self.fc(x).mean(1).unsqueeze(-1)


class TrainableSovits(nn.Module):
    codebook: Tensor

    def __init__(self, shape: SovitsShape, codebook: Tensor) -> None:
        """`codebook`: (tokens, content_width), given and never trained."""
        super().__init__()
        self.shape = shape
        self.enc_p = _Prior(shape)
        self.ref_enc = _Style(shape)
        self.flow = Flow(shape)
        self.dec = Generator(shape)
        self.register_buffer("codebook", codebook, persistent=False)

    def speaker(self, spectrum: Tensor) -> Tensor:
        """(B, REFERENCE_BINS or more, F) -> (B, gin, 1)."""
        return self.ref_enc(spectrum[:, :REFERENCE_BINS])

    def frames(
        self,
        tokens: Tensor,
        token_counts: Tensor,
        phones: Tensor,
        phone_counts: Tensor,
        speaker: Tensor,
        *,
        dropout: float = 0.0,
        noise: Tensor | None = None,
    ) -> tuple[Tensor, Tensor]:
        """What the generator is given: (B, C, 2T), and the mask of real frames (B, 1, 2T).

        `noise` is (B, C, 2T); None draws it.
        """
        content = self.codebook[tokens].repeat_interleave(2, 1).transpose(1, 2)
        mask = _mask(2 * token_counts, content.shape[2])
        mean, log_std = self.enc_p(content, mask, phones, _mask(phone_counts, phones.shape[1]), speaker, dropout)
        noise = torch.randn_like(mean) if noise is None else noise
        return self.flow((mean + noise * log_std.exp() * _NOISE_SCALE) * mask, mask, speaker), mask


def _mask(counts: Tensor, length: int) -> Tensor:
    return (torch.arange(length, device=counts.device) < counts[:, None]).float()[:, None]
