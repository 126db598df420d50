"""T2S on our own kernels, for CPUs: weights stay as they lie on disk, a step is one call.

Half-precision checkpoints are multiplied as they are (each number becomes single precision in a register, so nothing
is lost) and their bytes are read once for all rows: that is what a step's time is made of. A row's logits do not
depend on its batch-mates at all. Knows nothing of sampling, of jobs or of files.
"""

import ctypes
from collections.abc import Mapping, Sequence
from math import prod
from typing import Final, Self

import torch
import torch.nn.functional as F
from torch import Tensor

from voxswap_server.nn.adopt import check_fit
from voxswap_server.nn.native.blocked import BlockedLinear
from voxswap_server.nn.native.panels import panel_shape
from voxswap_server.nn.native.post_norm import LAYER_WORDS, MATRICES, NORMS, Shape, step_code
from voxswap_server.nn.native.prefix import PrefixAttention
from voxswap_server.nn.native.team import Team
from voxswap_server.nn.quantized import quantized
from voxswap_server.nn.t2s import (
    EPSILON,
    KVCache,
    PrefillRow,
    T2SConfig,
    admitted,
    next_positions,
    position_table,
    prefix_looks,
    tensor_shapes,
)

_CPU: Final = torch.device("cpu")
_TABLES: Final = ("text_embedding.weight", "audio_embedding.weight")
"""Read a row at a time, in whatever precision they have."""
_MATRICES: Final = tuple(f"{name}.weight" for name in (*MATRICES, "bert_projection", "head"))
_AS_STORED: Final = frozenset({torch.float16, torch.float32})
"""Kernels compute from these as they are."""
_KINDS: Final = {torch.float16: "float16", torch.float32: "float32", torch.uint8: "int8"}
_BLOCK_FLOATS: Final = 128 * 1024
"""Of activations that are multiplied with a whole matrix before the next ones are: half of a core's second cache."""
_KEPT: Final = {"float16": torch.float16, "float32": torch.float32}


class NativeT2S:
    """The network. Immutable: one instance serves any number of rows."""

    def __init__(self, config: T2SConfig, tensors: Mapping[str, Tensor], team: Team) -> None:
        """Binds tensors that already have their dtypes; see `from_tensors`. int8 matrices bring ".scale" tensors."""
        self.config = config
        self.tensors = dict(tensors)
        self.device = _CPU
        self._team = team
        self._outputs = {name: shape[-1] for name, shape in tensor_shapes(config).items() if _is_matrix(name)}
        self._no_bias = torch.zeros(config.vocab_size)
        self._shape = Shape(
            kind=_KINDS[tensors["head.weight"].dtype],
            width=config.hidden_dim,
            heads=config.heads,
            inner=config.ffn_dim,
            layers=config.layers,
            outputs=config.vocab_size,
            epsilon=EPSILON,
        )
        self._code = step_code(self._shape)
        self._step, self._linear = self._code.address("step"), self._code.address("linear")
        self._blocked = BlockedLinear(team, self._shape.kind) if self._shape.kind in _KEPT else None
        self._prefix = PrefixAttention(team, config.head_dim, _KEPT[self._shape.kept])
        self._layers = torch.tensor([self._layer_words(layer) for layer in range(config.layers)], dtype=torch.int64)
        self._head = self._words("head")
        self._positions = position_table(config.hidden_dim, torch.float32, _CPU)

    @classmethod
    def from_tensors(cls, config: T2SConfig, tensors: Mapping[str, Tensor], team: Team, *, int8: bool = False) -> Self:
        """Adopts stored tensors: matrices in half precision without a copy, others in single precision.

        Args:
            config: of the checkpoint.
            tensors: as stored; or, for int8, those of a network that was rounded before.
            team: runs the kernels.
            int8: round matrices to 8 bits, a scale for each output; loses some precision.

        Raises:
            ValueError: tensors are missing, left over or of another shape; the message names them.
        """
        shapes, given = tensor_shapes(config), {name: tuple(tensor.shape) for name, tensor in tensors.items()}
        if int8 and any(tensor.dtype == torch.uint8 for tensor in tensors.values()):
            check_fit(_with_scales(shapes), given)
            return cls(config, tensors, team)
        check_fit(shapes, given)
        kept = _kept({name: tensor.dtype for name, tensor in tensors.items()}, int8=int8)
        adopted: dict[str, Tensor] = {}
        for name in shapes:
            tensor = tensors[name].contiguous()
            if int8 and _is_matrix(name):
                matrix = quantized(tensor)
                adopted |= {name: matrix.values, _scale_of(name): matrix.scale}
            elif kept is None:  # of the block that they came in nothing must stay
                adopted[name] = tensor.to(tensor.dtype if name in _TABLES else torch.float32, copy=True)
            else:
                adopted[name] = tensor if _is_matrix(name) or name in _TABLES else tensor.float()
        return cls(config, adopted, team)

    def new_cache(self, prefix_tokens: int, max_new_tokens: int) -> KVCache:
        """Room for a prefix (phones and prompt tokens together) and the tokens that may follow."""
        kept = _KEPT[self._shape.kept]
        return KVCache(self.config, prefix_tokens + max_new_tokens, dtype=kept, device=_CPU)

    @torch.inference_mode()
    def prefill(self, rows: Sequence[PrefillRow]) -> Tensor:
        """As `T2S.prefill`."""
        spans = [admitted(self.config, row) for row in rows]
        x = torch.cat([part for row in rows for part in (self._embed_text(row), self._embed_audio(row.prompt))])
        ends, scratch = torch.tensor(spans).cumsum(0) - 1, self._prefix.scratch(max(spans))
        for layer in range(self.config.layers):
            qkv, attended = self._product(x, f"layers.{layer}.qkv"), torch.empty_like(x)
            for row, part, heard in zip(rows, torch.split(qkv, spans), torch.split(attended, spans), strict=True):
                self._attend(row, layer, part, heard, scratch)
            if layer == self.config.layers - 1:  # only the last position of a row is asked for
                x, attended = x[ends], attended[ends]
            x = self._after_attention(layer, x, attended)
        for row, span in zip(rows, spans, strict=True):
            row.cache.length, row.cache.text_tokens = span, row.phones.shape[0]
        return self._product(x, "head")

    @torch.inference_mode()
    def step(self, tokens: Tensor, caches: Sequence[KVCache]) -> Tensor:
        """As `T2S.step`."""
        # Weights push everything else out of the caches, so each call of PyTorch here takes far longer than by itself.
        x = self._embed_audio(tokens, next_positions(caches))
        longest, count = max(cache.length for cache in caches) + 1, len(caches)
        table = [word for cache in caches for word in (cache.storage.data_ptr(), cache.capacity, cache.length)]
        rows = (ctypes.c_int64 * len(table))(*table)
        scratch = torch.empty(self._shape.scratch_floats(count, self._team.threads, longest))
        logits = torch.empty(count, self.config.vocab_size)
        places = (x.data_ptr(), scratch.data_ptr(), self._layers.data_ptr(), ctypes.addressof(rows))
        room = self._shape.room_floats(count, self._shape.inner)
        self._team.call(self._step, (count, *places, *self._head, logits.data_ptr(), longest, room))
        for cache in caches:
            cache.length += 1
        return logits

    def _attend(self, row: PrefillRow, layer: int, qkv: Tensor, heard: Tensor, scratch: Tensor) -> None:
        """One row, (N, 3D) -> (N, D), which is written; so are its keys and values."""
        self._prefix.run(qkv, row.phones.shape[0], row.cache.layers[layer], heard, scratch)
        if row.looks is not None and row.prompt.shape[0]:
            row.looks.append(prefix_looks(qkv, row, self.config.heads))

    def _after_attention(self, layer: int, x: Tensor, attended: Tensor) -> Tensor:
        """Both residual halves: x, attended (N, D) -> (N, D)."""
        name = f"layers.{layer}"
        x = self._normed(self._product(attended, f"{name}.out").add_(x), f"{name}.norm1")
        inner = self._product(x, f"{name}.ffn_in", cut=True)
        return self._normed(self._product(inner, f"{name}.ffn_out").add_(x), f"{name}.norm2")

    def _normed(self, x: Tensor, name: str) -> Tensor:
        weight, bias = self.tensors[f"{name}.weight"], self.tensors[f"{name}.bias"]
        return F.layer_norm(x, weight.shape, weight, bias, EPSILON)

    def _product(self, x: Tensor, name: str, *, cut: bool = False) -> Tensor:
        """Rows (N, in) -> (N, out); `cut` puts 0 for what is below."""
        x = x.contiguous()
        rows, inputs, outputs = *x.shape, self._outputs[f"{name}.weight"]
        y = torch.empty(rows, outputs)
        if self._blocked is not None and self._blocked.fits(rows, inputs, outputs):
            weight, _, bias = self._words(name)
            self._blocked.run(x, weight, bias, y, cut=cut)
            return y
        floats = self._shape.room_floats(rows, inputs)
        room = torch.empty(self._team.threads * floats)
        block = rows if floats else max(1, _BLOCK_FLOATS // inputs)  # kernels that need room have blocks of their own
        for part, target in zip(torch.split(x, block), torch.split(y, block), strict=True):
            places = part.data_ptr(), *self._words(name), target.data_ptr()
            words = (*places, part.shape[0], inputs, outputs, cut, room.data_ptr(), floats)
            self._team.call(self._linear, words)
        return y

    def _embed_text(self, row: PrefillRow) -> Tensor:
        """Phones (P,) and their text features (bert_dim, P) -> (P, D)."""
        x = F.embedding(row.phones, self.tensors["text_embedding.weight"]).float()
        if row.bert is None:
            x = x + self.tensors["bert_projection.bias"]
        else:
            x = x + self._product(row.bert.float().T, "bert_projection")
        return torch.addcmul(x, self._positions[: x.shape[0]], self.tensors["text_position.alpha"])

    def _embed_audio(self, tokens: Tensor, positions: Sequence[int] | None = None) -> Tensor:
        """Tokens (N,) at their positions, None for the first N -> (N, D)."""
        x = F.embedding(tokens, self.tensors["audio_embedding.weight"]).float()
        return torch.addcmul(x, self._places(positions, x.shape[0]), self.tensors["audio_position.alpha"])

    def _places(self, positions: Sequence[int] | None, count: int) -> Tensor:
        """Rows of the position table."""
        if positions is None:
            return self._positions[:count]
        if count == 1:
            return self._positions.narrow(0, positions[0], 1)
        return self._positions.index_select(0, torch.tensor(positions))

    def _layer_words(self, layer: int) -> list[int]:
        """Where everything of a layer is, as the kernel's table has it."""
        name = f"layers.{layer}"
        matrices = [word for matrix in MATRICES for word in self._words(f"{name}.{matrix}")]
        norms = [self.tensors[f"{name}.{norm}.{part}"].data_ptr() for norm in NORMS for part in ("weight", "bias")]
        words = [*matrices, *norms]
        if len(words) != LAYER_WORDS:
            raise ValueError(f"a layer has {len(words)} words, the kernel reads {LAYER_WORDS}")
        return words

    def _words(self, name: str) -> tuple[int, int, int]:
        """Weight, scale and bias of a product; whatever is not read points to zeros."""
        weight, bias = self.tensors[f"{name}.weight"], self.tensors.get(f"{name}.bias", self._no_bias)
        scale = self.tensors.get(f"{name}.scale", bias)
        return weight.data_ptr(), scale.data_ptr(), bias.data_ptr()


def _with_scales(shapes: Mapping[str, tuple[int, ...]]) -> dict[str, tuple[int, ...]]:
    """Shapes of the same network in 8 bits."""
    found: dict[str, tuple[int, ...]] = {}
    for name, shape in shapes.items():
        found |= {name: panel_shape(*shape), _scale_of(name): shape[-1:]} if _is_matrix(name) else {name: shape}
    return found


def _scale_of(name: str) -> str:
    return f"{name.removesuffix('.weight')}.scale"


def native_dtypes(stored: Mapping[str, torch.dtype]) -> dict[str, torch.dtype]:
    """In which `NativeT2S` keeps tensors of these, where it rounds none: given so, they are adopted as they are."""
    kept = _kept(stored, int8=False)
    return {
        name: dtype if name in _TABLES or (kept and _is_matrix(name)) else torch.float32
        for name, dtype in stored.items()
    }


def native_bytes(stored: Mapping[str, tuple[torch.dtype, tuple[int, ...]]], *, int8: bool = False) -> int:
    """What `NativeT2S` will take of tensors of these dtypes and shapes, which are read as `native_dtypes` says."""
    dtypes, total = native_dtypes({name: dtype for name, (dtype, _) in stored.items()}), 0
    for name, (_, shape) in stored.items():
        if int8 and _is_matrix(name):
            inputs, outputs = shape
            total += prod(panel_shape(inputs, outputs)) + 4 * outputs
        else:
            total += prod(shape) * dtypes[name].itemsize
    return total


def _kept(dtypes: Mapping[str, torch.dtype], *, int8: bool) -> torch.dtype | None:
    """The dtype of matrices that stay as they lie in memory; None where they have to be made anew."""
    found = {dtype for name, dtype in dtypes.items() if _is_matrix(name)}
    return found.pop() if not int8 and len(found) == 1 and found <= _AS_STORED else None


def _is_matrix(name: str) -> bool:
    return name.endswith(_MATRICES)
