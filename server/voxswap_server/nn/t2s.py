"""T2S: an autoregressive transformer, phones to semantic tokens (SPEC §2.1, §11.1; upstream `Text2SemanticDecoder`).

Knows nothing of sampling, of jobs or of who owns a cache. The weights are a frozen set of tensors, the state of a row
is its `KVCache`, and both come in as arguments: rows of different lengths may join and leave between steps. Linear
layers run over the joined rows, attention runs on each row's own cache, so nothing is padded and a row depends on its
batch-mates only through the rounding of a matrix product.
"""

import functools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import log
from typing import Any, NamedTuple, Self

import torch
import torch.nn.functional as F
from torch import Tensor

from voxswap_server.errors import EngineError, TextTooLong
from voxswap_server.nn.adopt import check_fit, parse_config

MAX_POSITIONS = 4096
"""Rows of the position table: phones of one utterance with its prompt, or tokens with theirs."""

EPSILON = 1e-5
"""Of the layer normalisations."""


@dataclass(frozen=True, slots=True)
class T2SConfig:
    """Dimensions of one checkpoint."""

    hidden_dim: int
    heads: int
    layers: int
    ffn_dim: int
    vocab_size: int
    """Semantic tokens and the end of speech."""
    phoneme_vocab_size: int
    eos: int
    """The last id of the vocabulary."""
    bert_dim: int
    max_s: float
    """Longest utterance in seconds (upstream's `max_sec`)."""

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> "T2SConfig":
        """Reads what `voxswap_store.layout_t2s` wrote.

        Raises:
            ValueError: a field is missing or is of another kind; the message names it.
        """
        return parse_config(cls, values)

    @property
    def head_dim(self) -> int:
        return self.hidden_dim // self.heads


class _Block(NamedTuple):
    """One post-norm layer. Matrices are stored (in, out): `addmm` on them is a fifth faster for one or two rows."""

    qkv_weight: Tensor
    qkv_bias: Tensor
    out_weight: Tensor
    out_bias: Tensor
    norm1_weight: Tensor
    norm1_bias: Tensor
    ffn_in_weight: Tensor
    ffn_in_bias: Tensor
    ffn_out_weight: Tensor
    ffn_out_bias: Tensor
    norm2_weight: Tensor
    norm2_bias: Tensor

    def after_attention(self, x: Tensor, attended: Tensor) -> Tensor:
        """Both residual halves: x, attended (N, D) -> (N, D)."""
        width = self.norm1_bias.shape
        x = torch.addmm(self.out_bias, attended, self.out_weight).add_(x)
        x = F.layer_norm(x, width, self.norm1_weight, self.norm1_bias, EPSILON)
        inner = torch.addmm(self.ffn_in_bias, x, self.ffn_in_weight).relu_()
        x = torch.addmm(self.ffn_out_bias, inner, self.ffn_out_weight).add_(x)
        return F.layer_norm(x, width, self.norm2_weight, self.norm2_bias, EPSILON)


class KVCache:
    """Keys and values of one row, owned by its job.

    `layers[i]` is (2, heads, capacity, head_dim); positions below `length` are written. The text comes first and
    attends to itself only, so its entries never change.
    """

    __slots__ = ("layers", "length", "storage", "text_tokens")

    def __init__(self, config: T2SConfig, capacity: int, *, dtype: torch.dtype, device: torch.device) -> None:
        shape = (config.layers, 2, config.heads, capacity, config.head_dim)
        self.storage = torch.empty(shape, dtype=dtype, device=device)
        self.layers = self.storage.unbind(0)
        self.length = 0
        self.text_tokens = 0

    @property
    def capacity(self) -> int:
        return self.storage.shape[3]

    @property
    def audio_tokens(self) -> int:
        """Tokens in it, the prompt's included: the position of the next one."""
        return self.length - self.text_tokens


@dataclass(frozen=True, slots=True, eq=False)
class PrefillRow:
    """What one utterance starts from. Ids are long tensors on any device."""

    phones: Tensor
    """(P,) The prompt's phones, then the text's."""
    bert: Tensor | None
    """(bert_dim, P) Text features; None is zeros (every language but Chinese)."""
    prompt: Tensor
    """(Y,) Prompt tokens; none of them in no-prompt mode."""
    cache: KVCache
    """An empty cache of `T2S.new_cache`."""
    looks: list[Tensor] | None = None
    """Where it is given, each layer adds how its heads look from the prompt tokens to the phones: (heads, Y, P)."""


class T2S:
    """The network. Immutable: one instance serves any number of rows."""

    def __init__(self, config: T2SConfig, tensors: Mapping[str, Tensor]) -> None:
        """Binds tensors that already have the wanted dtype and device; see `from_tensors`."""
        self.config = config
        self.tensors = dict(tensors)
        self._blocks = tuple(
            _Block(
                *(
                    tensors[f"layers.{layer}.{name.replace('_weight', '.weight').replace('_bias', '.bias')}"]
                    for name in _Block._fields
                )
            )
            for layer in range(config.layers)
        )
        head = tensors["head.weight"]
        self.dtype, self.device = head.dtype, head.device
        self._positions = position_table(config.hidden_dim, self.dtype, self.device)

    @classmethod
    def from_tensors(
        cls,
        config: T2SConfig,
        tensors: Mapping[str, Tensor],
        *,
        dtype: torch.dtype = torch.float32,
        device: torch.device | str = "cpu",
    ) -> Self:
        """Adopts stored tensors; copies only those whose dtype or device differ.

        Raises:
            ValueError: tensors are missing, left over or of another shape; the message names them.
        """
        shapes = tensor_shapes(config)
        check_fit(shapes, {name: tuple(tensor.shape) for name, tensor in tensors.items()})
        return cls(config, {name: tensors[name].to(device=device, dtype=dtype) for name in shapes})

    def new_cache(self, prefix_tokens: int, max_new_tokens: int) -> KVCache:
        """Room for a prefix (phones and prompt tokens together) and the tokens that may follow."""
        return KVCache(self.config, prefix_tokens + max_new_tokens, dtype=self.dtype, device=self.device)

    @torch.inference_mode()
    def prefill(self, rows: Sequence[PrefillRow]) -> Tensor:
        """Reads whole prefixes into their caches: logits of each row's first new token, (B, vocab) float32.

        Raises:
            TextTooLong: more phones or prompt tokens than there are positions.
            EngineError: an id is outside its vocabulary, or a cache has no room.
        """
        spans = [admitted(self.config, row) for row in rows]
        x = torch.cat([part for row in rows for part in (self._embed_text(row), self._embed_prompt(row.prompt))])
        masks = [prefix_mask(row, self.device) for row in rows]
        ends = torch.tensor(spans, device=self.device).cumsum(0) - 1
        for layer, block in enumerate(self._blocks):
            qkv = torch.addmm(block.qkv_bias, x, block.qkv_weight)
            attended = torch.cat(
                [
                    attend_prefix(part, row, layer, mask)
                    for part, row, mask in zip(torch.split(qkv, spans), rows, masks, strict=True)
                ]
            )
            if layer == self.config.layers - 1:  # only the last position of a row is asked for
                x, attended = x[ends], attended[ends]
            x = block.after_attention(x, attended)
        for row, span in zip(rows, spans, strict=True):
            row.cache.length, row.cache.text_tokens = span, row.phones.shape[0]
        return (x @ self.tensors["head.weight"]).float()

    @torch.inference_mode()
    def step(self, tokens: Tensor, caches: Sequence[KVCache]) -> Tensor:
        """Appends one token to each row: tokens (B,) long -> logits of the next ones, (B, vocab) float32.

        Raises:
            EngineError: a cache is full.
        """
        x = self._embed_audio(tokens.to(self.device), next_positions(caches))
        lengths = [cache.length for cache in caches]
        # One row: (q | k | v, heads, 1, head_dim).
        shape = (len(caches), 3, self.config.heads, 1, self.config.head_dim)
        for layer, block in enumerate(self._blocks):
            rows = torch.addmm(block.qkv_bias, x, block.qkv_weight).view(shape).unbind(0)
            attended = [
                _attend_step(row, cache.layers[layer], length)
                for row, cache, length in zip(rows, caches, lengths, strict=True)
            ]
            x = block.after_attention(x, attended[0] if len(attended) == 1 else torch.cat(attended))
        for cache in caches:
            cache.length += 1
        return (x @ self.tensors["head.weight"]).float()

    def _embed_text(self, row: PrefillRow) -> Tensor:
        """Phones (P,) and their text features (bert_dim, P) -> (P, D)."""
        x = F.embedding(row.phones.to(self.device), self.tensors["text_embedding.weight"])
        bias = self.tensors["bert_projection.bias"]
        if row.bert is None:
            x = x + bias
        else:
            features = row.bert.to(device=self.device, dtype=self.dtype).T
            x = x + torch.addmm(bias, features, self.tensors["bert_projection.weight"])
        return torch.addcmul(x, self._positions[: x.shape[0]], self.tensors["text_position.alpha"])

    def _embed_prompt(self, prompt: Tensor) -> Tensor:
        x = F.embedding(prompt.to(self.device), self.tensors["audio_embedding.weight"])
        return torch.addcmul(x, self._positions[: x.shape[0]], self.tensors["audio_position.alpha"])

    def _embed_audio(self, tokens: Tensor, positions: list[int]) -> Tensor:
        """(B,) tokens at their positions -> (B, D)."""
        x = F.embedding(tokens, self.tensors["audio_embedding.weight"])
        places = self._positions[torch.tensor(positions, device=self.device)]
        return torch.addcmul(x, places, self.tensors["audio_position.alpha"])


def _attend_step(row: Tensor, kept: Tensor, length: int) -> Tensor:
    """One row's q, k, v (3, heads, 1, head_dim) on its cache (2, heads, capacity, head_dim) -> (1, D)."""
    kept[:, :, length : length + 1] = row[1:]
    keys, values = kept[:1, :, : length + 1], kept[1:, :, : length + 1]
    return F.scaled_dot_product_attention(row[:1], keys, values).view(1, -1)


def admitted(config: T2SConfig, row: PrefillRow) -> int:
    """Checks a row that is about to be read and returns its length.

    Raises:
        TextTooLong: more phones or prompt tokens than there are positions.
        EngineError: an id is outside its vocabulary, or the cache has no room.
    """
    phones, tokens = row.phones.shape[0], row.prompt.shape[0]
    if max(phones, tokens) > MAX_POSITIONS:
        raise TextTooLong(f"an utterance has {phones} phones and {tokens} prompt tokens, at most {MAX_POSITIONS}")
    for ids, size, what in (
        (row.phones, config.phoneme_vocab_size, "phone"),
        (row.prompt, config.vocab_size, "prompt token"),
    ):
        if ids.numel() and (int(ids.min()) < 0 or int(ids.max()) >= size):
            raise EngineError(f"T2S: a {what} is outside 0..{size - 1}")
    if not 0 < phones + tokens <= row.cache.capacity:
        raise EngineError(f"T2S: a prefix of {phones + tokens} in a cache of {row.cache.capacity}")
    return phones + tokens


def next_positions(caches: Sequence[KVCache]) -> list[int]:
    """Where the next token of each row stands, counted from the first one after the text.

    Raises:
        EngineError: a cache is full, or a row has come to the end of the position table.
    """
    if any(cache.length >= cache.capacity for cache in caches):
        lengths = [cache.length for cache in caches]
        raise EngineError(f"T2S: a cache is full: {lengths} of {[cache.capacity for cache in caches]}")
    positions = [cache.audio_tokens for cache in caches]
    if max(positions) >= MAX_POSITIONS:
        raise EngineError(f"T2S: token {max(positions)} of an utterance, at most {MAX_POSITIONS}")
    return positions


def attend_prefix(qkv: Tensor, row: PrefillRow, layer: int, mask: Tensor) -> Tensor:
    """One row, (N, 3D) -> (N, D): text sees all text, a prompt token sees the text and the tokens up to itself."""
    size, text = qkv.shape[0], row.phones.shape[0]
    kept = row.cache.layers[layer][:, :, :size]
    _, heads, _, head_dim = kept.shape
    query, *new = qkv.view(size, 3, heads, head_dim).permute(1, 2, 0, 3)
    fresh = torch.stack(new)
    kept.copy_(fresh)  # which may round them
    keys, values = fresh[:1], fresh[1:]
    queries = query[None]
    heard = F.scaled_dot_product_attention(queries[:, :, :text], keys[:, :, :text], values[:, :, :text])
    if text < size:
        spoken = F.scaled_dot_product_attention(queries[:, :, text:], keys, values, attn_mask=mask)
        if row.looks is not None:
            row.looks.append(prefix_looks(qkv, row, heads))
        heard = torch.cat((heard, spoken), dim=2)
    return heard[0].transpose(0, 1).reshape(size, heads * head_dim)


def prefix_looks(qkv: Tensor, row: PrefillRow, heads: int) -> Tensor:
    """How the heads of a layer look from the prompt tokens to the phones: (N, 3D) -> (heads, Y, P)."""
    text = row.phones.shape[0]
    query, keys, _ = qkv.view(qkv.shape[0], 3, heads, -1).permute(1, 2, 0, 3)
    scores = query[:, text:] @ keys.transpose(1, 2) / query.shape[-1] ** 0.5
    return scores.masked_fill(~prefix_mask(row, qkv.device), -torch.inf).softmax(-1)[:, :, :text]


def prefix_mask(row: PrefillRow, device: torch.device) -> Tensor:
    """(tokens, text + tokens), True where a prompt token may look."""
    text, tokens = row.phones.shape[0], row.prompt.shape[0]
    return torch.ones(tokens, text + tokens, dtype=torch.bool, device=device).tril(text)


@functools.cache
def position_table(dim: int, dtype: torch.dtype, device: torch.device) -> Tensor:
    """Sinusoids (MAX_POSITIONS, dim): sine on even channels, cosine on odd, base 10000.

    A constant of its arguments, so all voices share it.
    """
    steps = torch.arange(0, dim, 2, dtype=torch.float32)
    angles = torch.arange(MAX_POSITIONS, dtype=torch.float32)[:, None] * torch.exp(steps * (-log(10000.0) / dim))
    table = torch.stack((angles.sin(), angles.cos()), dim=-1).view(MAX_POSITIONS, dim)
    return table.to(device=device, dtype=dtype)


def tensor_shapes(config: T2SConfig) -> dict[str, tuple[int, ...]]:
    """Every stored tensor and its shape, in the order of the file. Matrices are (in, out)."""
    D, inner = config.hidden_dim, config.ffn_dim
    shapes: dict[str, tuple[int, ...]] = {
        "text_embedding.weight": (config.phoneme_vocab_size, D),
        "bert_projection.weight": (config.bert_dim, D),
        "bert_projection.bias": (D,),
        "text_position.alpha": (1,),
        "audio_embedding.weight": (config.vocab_size, D),
        "audio_position.alpha": (1,),
    }
    for layer in range(config.layers):
        shapes |= {
            f"layers.{layer}.qkv.weight": (D, 3 * D),
            f"layers.{layer}.qkv.bias": (3 * D,),
            f"layers.{layer}.out.weight": (D, D),
            f"layers.{layer}.out.bias": (D,),
            f"layers.{layer}.norm1.weight": (D,),
            f"layers.{layer}.norm1.bias": (D,),
            f"layers.{layer}.ffn_in.weight": (D, inner),
            f"layers.{layer}.ffn_in.bias": (inner,),
            f"layers.{layer}.ffn_out.weight": (inner, D),
            f"layers.{layer}.ffn_out.bias": (D,),
            f"layers.{layer}.norm2.weight": (D,),
            f"layers.{layer}.norm2.bias": (D,),
        }
    return shapes | {"head.weight": (D, config.vocab_size)}
