"""Tensors of a manifest: each is a rule of a few numbers, checked by one sha256 over all of them.

Knows nothing of files. The rule: 16 random bits r from numpy's frozen legacy stream of `seed`, then
`float16((r - 32768) / 32768 * a + b)` with one rounding; `row_scale` multiplies single rows before it.
"""

import hashlib
from collections.abc import Mapping
from typing import Any, Literal

import numpy as np
import torch
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict
from torch import Tensor

from voxswap_server.parity.errors import BadGoldens

_HALF = 32768.0


class TensorRule(BaseModel):
    """One tensor of a manifest."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: str
    shape: tuple[int, ...]
    dtype: Literal["f16", "f32", "i64"]
    a: float
    """Half width of the values."""
    b: float
    """Their centre."""
    seed: int
    row_scale: dict[int, float] | None = None
    values: Any = None
    """Constants that stand in the manifest as they are, nested like the tensor."""


class Manifest(BaseModel):
    """One file of weights."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    file: str
    """Where it lies, relative to the manifest's directory in the rebuilt tree."""
    format: Literal["s1", "s2", "state", "bigvgan", "hf"]
    head: str = "PK"
    config: dict[str, Any] | None = None
    config_class: str | None = None
    info: str = ""
    lora_rank: int | None = None
    files: dict[str, str] = {}
    """Text files beside the weights: name to content."""
    sha256: str
    tensors: tuple[TensorRule, ...]


def build_tensors(manifest: Manifest) -> dict[str, Tensor]:
    """The tensors of a manifest.

    Raises:
        BadGoldens: their digest is not the manifest's.
    """
    tensors = {rule.name: _build(rule) for rule in manifest.tensors}
    found = digest(tensors)
    if found != manifest.sha256:
        raise BadGoldens(f"{manifest.file}: rebuilt tensors have sha256 {found}, the manifest says {manifest.sha256}")
    return tensors


def digest(tensors: Mapping[str, Tensor]) -> str:
    """The sha256 over name, shape and bytes of each tensor, by name."""
    total = hashlib.sha256()
    for name in sorted(tensors):
        tensor = tensors[name]
        total.update(name.encode())
        total.update(str(tuple(tensor.shape)).encode())
        total.update(tensor.contiguous().numpy().data)
    return total.hexdigest()


def _build(rule: TensorRule) -> Tensor:
    if rule.dtype == "i64":
        return torch.full(rule.shape, int(rule.b), dtype=torch.int64)
    if rule.values is not None:
        return torch.tensor(rule.values, dtype=torch.float32).reshape(rule.shape)
    half = torch.from_numpy(_random(rule).astype(np.float16).reshape(rule.shape))
    return half.float() if rule.dtype == "f32" else half


def _random(rule: TensorRule) -> NDArray[np.float64]:
    """Values (n,) before they are rounded."""
    size = int(np.prod(rule.shape, dtype=np.int64))
    # The frozen legacy stream is what the goldens are defined by.
    bits = np.random.RandomState(rule.seed & 0xFFFFFFFF).randint(0, 65536, size=size, dtype=np.uint16)
    values: NDArray[np.float64] = (bits.astype(np.float64) - _HALF) / _HALF
    values *= rule.a
    values += rule.b
    for row, factor in (rule.row_scale or {}).items():
        width = size // rule.shape[0]
        values[row * width : (row + 1) * width] *= factor
    return values
