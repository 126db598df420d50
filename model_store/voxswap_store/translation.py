"""The tools of every layout: take a tensor under upstream's name, check it, put it down under ours.

Knows no network. Whatever is never taken is dropped: what training needed and inference does not.
"""

import re
from collections.abc import Mapping, Sequence

import torch
from torch import Tensor

from voxswap_store.errors import BadTensor

_LENGTH_OF = {"weight_v": "weight_g", "parametrizations.weight.original1": "parametrizations.weight.original0"}
"""How PyTorch spells a weight under weight norm, directions to lengths: its old way, its new way."""


class Translation:
    """Collects the tensors of one network, in the order in which they are put down.

    Raises, from every method:
        BadTensor: a tensor is missing, of another shape, not of real numbers, or holds NaN or infinity.
    """

    def __init__(self, weight: Mapping[str, Tensor]) -> None:
        self._weight = weight
        self.tensors: dict[str, Tensor] = {}

    def has(self, name: str) -> bool:
        return name in self._weight

    def ending(self, end: str) -> list[str]:
        """Names that end so, in the order of the file."""
        return [name for name in self._weight if name.endswith(end)]

    def starting(self, start: str) -> list[str]:
        """Names that start so, in the order of the file."""
        return [name for name in self._weight if name.startswith(start)]

    def numbers(self, pattern: str, step: int = 1) -> range:
        """Numbers that the names have where `pattern` has "{}": 0, step, 2 step, and so on, or none at all."""
        before, after = (re.escape(part) for part in pattern.split("{}"))
        matcher = re.compile(f"{before}([0-9]{{1,4}}){after}")
        found = {int(match[1]) for name in self._weight if (match := matcher.fullmatch(name))}
        expected = range(0, step * len(found), step)
        if gaps := set(expected) - found:
            raise BadTensor(pattern.format(min(gaps)), "it is missing, although a later one is there")
        return expected

    def count(self, pattern: str) -> int:
        """How many consecutive numbers from 0 the names have where `pattern` has "{}": at least one."""
        found = self.numbers(pattern)
        if not found:
            raise BadTensor(pattern.format(0), "it is missing")
        return len(found)

    def size(self, name: str, axes: int) -> tuple[int, ...]:
        """Shape of a tensor that must have this many axes, none of them empty."""
        tensor = self._get(name)
        if tensor.ndim != axes or tensor.numel() == 0:
            raise BadTensor(name, f"its shape is {tuple(tensor.shape)}, expected {axes} axes, none empty")
        return tuple(tensor.shape)

    def weight_size(self, source: str, axes: int) -> tuple[int, ...]:
        """Shape of the weight of a layer, under weight norm or not."""
        return self.size(f"{source}.{self._direction(source)}", axes)

    def take(self, name: str, *shape: int) -> Tensor:
        """A tensor of exactly this shape, checked."""
        tensor = self._get(name)
        if tuple(tensor.shape) != shape:
            raise BadTensor(name, f"its shape is {tuple(tensor.shape)}, expected {shape}")
        if not tensor.is_floating_point():
            raise BadTensor(name, f"it holds {tensor.dtype}, expected real numbers")
        if not torch.isfinite(tensor).all():
            raise BadTensor(name, "it holds NaN or infinity")
        return tensor.float() if tensor.dtype is torch.float64 else tensor

    def put(self, target: str, tensor: Tensor) -> None:
        self.tensors[target] = tensor.contiguous()

    def copy(self, source: str, target: str, *shape: int) -> None:
        self.put(target, self.take(source, *shape))

    def linear(self, source: str, target: str, wide: tuple[int, int], *, bias: bool = True) -> None:
        """A linear layer (out, in), also where upstream writes it as a convolution over one frame."""
        self.joined((source,), target, wide, bias=bias)

    def joined(self, sources: Sequence[str], target: str, wide: tuple[int, int], *, bias: bool = True) -> None:
        """Linear layers (out, in) of one input, stacked into one."""
        self.put(f"{target}.weight", torch.cat([self._matrix(f"{source}.weight", wide) for source in sources]))
        if bias:
            self.put(f"{target}.bias", torch.cat([self.take(f"{source}.bias", wide[0]) for source in sources]))

    def layer(self, source: str, target: str, *shape: int, bias: int | None = None) -> None:
        """A layer whose weight has this shape and whose bias this length; weight norm is folded into the weight."""
        self.put(f"{target}.weight", self.weight(source, *shape))
        if bias is not None:
            self.copy(f"{source}.bias", f"{target}.bias", bias)

    def frames(self, source: str, target: str, *shape: int, bias: int | None = None) -> None:
        """As `layer`, of a convolution over time that is laid out with its kernel before its last axis."""
        self.put(f"{target}.weight", self.weight(source, *shape).transpose(1, 2))
        if bias is not None:
            self.copy(f"{source}.bias", f"{target}.bias", bias)

    def weight(self, source: str, *shape: int) -> Tensor:
        """The weight of a layer, folded where it is under weight norm.

        The norm is over all axes but the first, of transposed convolutions too. A folded weight is kept in fp32: no
        fp16 number is near enough to it. Rounding it costs 1e-3 to 2e-3 of the waveform's peak on the goldens, where
        parity allows 1e-4 and fp32 gives 3e-6. What was fp16 in the file stays fp16, which loses nothing.
        """
        direction = self._direction(source)
        vectors = self.take(f"{source}.{direction}", *shape)
        if direction == "weight":
            return vectors
        lengths = self.take(f"{source}.{_LENGTH_OF[direction]}", shape[0], *(1 for _ in shape[1:])).float()
        vectors = vectors.float()
        norms = torch.linalg.vector_norm(vectors, dim=tuple(range(1, len(shape))), keepdim=True)
        folded: Tensor = vectors * (lengths / norms)
        if not torch.isfinite(folded).all():
            raise BadTensor(f"{source}.{direction}", "one of its vectors has no length, so it has no direction")
        return folded

    def _direction(self, source: str) -> str:
        return next((name for name in _LENGTH_OF if self.has(f"{source}.{name}")), "weight")

    def _matrix(self, name: str, wide: tuple[int, int]) -> Tensor:
        one_frame = (*wide, 1)
        tensor = self._get(name)
        return self.take(name, *one_frame).squeeze(-1) if tensor.ndim == len(one_frame) else self.take(name, *wide)

    def _get(self, name: str) -> Tensor:
        try:
            return self._weight[name]
        except KeyError:
            raise BadTensor(name, "it is missing") from None
