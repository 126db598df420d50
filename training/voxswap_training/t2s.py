"""The T2S network as it is trained: upstream's parameter names, padding masks, gradients, no cache.

`nn/t2s.py` of the server is the same network as it is used; `tests/training` holds the two together. Knows nothing of
data and losses.
"""

from dataclasses import asdict, dataclass
from math import log
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

_BERT_DIM = 1024
_POSITIONS = 4096


@dataclass(frozen=True, slots=True)
class T2SShape:
    hidden_dim: int = 256
    head: int = 8
    n_layer: int = 4
    vocab_size: int = 1025
    phoneme_vocab_size: int = 732

    @property
    def eos(self) -> int:
        return self.vocab_size - 1

    def upstream(self) -> dict[str, Any]:
        """The `config` of a checkpoint."""
        model = asdict(self) | {"embedding_dim": self.hidden_dim, "dropout": 0, "EOS": self.eos}
        return {"data": {"max_sec": 54}, "model": model}


class _Embedding(nn.Module):
    def __init__(self, rows: int, width: int) -> None:
        super().__init__()
        self.word_embeddings = nn.Embedding(rows, width)
        nn.init.normal_(self.word_embeddings.weight, 0, 0.5)


class _Position(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.alpha = nn.Parameter(torch.ones(1))


class _Attention(nn.Module):
    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.in_proj_weight = nn.Parameter(torch.empty(3 * width, width))
        self.in_proj_bias = nn.Parameter(torch.zeros(3 * width))
        self.out_proj = nn.Linear(width, width)
        nn.init.xavier_uniform_(self.in_proj_weight)
        nn.init.zeros_(self.out_proj.bias)

    def forward(self, x: Tensor, mask: Tensor, *, scores: bool) -> tuple[Tensor, Tensor | None]:
        """(B, T, C), mask (B, 1, T, T) to add -> (B, T, C), and the first head's scores (B, T, T) if asked for."""
        B, T, C = x.shape
        q, k, v = (
            F.linear(x, self.in_proj_weight, self.in_proj_bias).view(B, T, 3, self.heads, -1).permute(2, 0, 3, 1, 4)
        )
        mixed = F.scaled_dot_product_attention(q, k, v, mask).transpose(1, 2).reshape(B, T, C)
        first = q[:, 0] @ k[:, 0].transpose(1, 2) * (C // self.heads) ** -0.5 + mask[:, 0] if scores else None
        return self.out_proj(mixed), first


class _Layer(nn.Module):
    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.self_attn = _Attention(width, heads)
        self.linear1 = nn.Linear(width, 4 * width)
        self.linear2 = nn.Linear(4 * width, width)
        self.norm1 = nn.LayerNorm(width)
        self.norm2 = nn.LayerNorm(width)

    def forward(self, x: Tensor, mask: Tensor, dropout: float, *, scores: bool) -> tuple[Tensor, Tensor | None]:
        attended, first = self.self_attn(x, mask, scores=scores)
        x = self.norm1(x + F.dropout(attended, dropout, self.training))
        inner = F.dropout(self.linear2(F.relu(self.linear1(x))), dropout, self.training)
        return self.norm2(x + inner), first


class _Stack(nn.Module):
    def __init__(self, shape: T2SShape) -> None:
        super().__init__()
        self.layers = nn.ModuleList(_Layer(shape.hidden_dim, shape.head) for _ in range(shape.n_layer))


class TrainableT2S(nn.Module):
    positions: Tensor

    def __init__(self, shape: T2SShape) -> None:
        super().__init__()
        self.shape = shape
        width = shape.hidden_dim
        self.bert_proj = nn.Linear(_BERT_DIM, width)
        nn.init.zeros_(self.bert_proj.weight)  # English has no BERT features: only the bias is ever used
        nn.init.zeros_(self.bert_proj.bias)
        self.ar_text_embedding = _Embedding(shape.phoneme_vocab_size, width)
        self.ar_audio_embedding = _Embedding(shape.vocab_size, width)
        self.ar_text_position = _Position()
        self.ar_audio_position = _Position()
        self.h = _Stack(shape)
        self.ar_predict_layer = nn.Linear(width, shape.vocab_size, bias=False)
        self.register_buffer("positions", sinusoids(_POSITIONS, width), persistent=False)

    def forward(
        self,
        phones: Tensor,
        phone_counts: Tensor,
        tokens: Tensor,
        *,
        dropout: float = 0.0,
        guided: tuple[int, ...] = (),
    ) -> tuple[Tensor, list[Tensor]]:
        """What follows each token.

        Args:
            phones: (B, P) ids, padded with anything.
            phone_counts: (B,).
            tokens: (B, T), padded with anything: nothing looks ahead.
            dropout: of embeddings and of both halves of a layer.
            guided: layers whose first head's scores over the phones are wanted too.

        Returns:
            logits (B, T, vocabulary) and for each guided layer (B, T, P).
        """
        P, T = phones.shape[1], tokens.shape[1]
        text = self.ar_text_embedding.word_embeddings(phones) + self.bert_proj.bias
        text = text + self.ar_text_position.alpha * self.positions[:P]
        audio = self.ar_audio_embedding.word_embeddings(tokens) + self.ar_audio_position.alpha * self.positions[:T]
        x = F.dropout(torch.cat([text, audio], 1), dropout, self.training)
        mask = attention_mask(phone_counts, P, T).to(x.dtype)
        seen = []
        for index, layer in enumerate(self.h.layers):
            x, scores = layer(x, mask, dropout, scores=index in guided)
            if scores is not None:
                seen.append(scores[:, P:, :P])
        return self.ar_predict_layer(x[:, P:]), seen


def sinusoids(rows: int, width: int) -> Tensor:
    """Sine on even channels, cosine on odd ones: (rows, width)."""
    angles = torch.arange(rows)[:, None] * torch.exp(torch.arange(0, width, 2) * (-log(10_000.0) / width))
    return torch.stack([angles.sin(), angles.cos()], -1).reshape(rows, width)


def attention_mask(phone_counts: Tensor, phones: int, tokens: int) -> Tensor:
    """0 where a row may look, -1e9 where not: (B, 1, P + T, P + T). Text sees text, tokens see text and their past."""
    place = torch.arange(phones + tokens, device=phone_counts.device)
    real = (place[None] < phone_counts[:, None]) | (place[None] >= phones)
    before = (place[None] < phones) | ((place[:, None] >= phones) & (place[None] <= place[:, None]))
    allowed = real[:, None, None] & before[None, None]
    return torch.zeros(allowed.shape, device=phone_counts.device).masked_fill(~allowed, -1e9)
