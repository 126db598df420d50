"""A LoRA merged into its base (SPEC §1.3).

Knows nothing of our own layout: names are upstream's on both sides. The file's scale is 1 (alpha equals the rank), so a
merged matrix is the base's plus B times A. It is kept in single precision: the sum of two half-precision numbers is
none, and rounding it would cost more than the 1e-4 that binds us.
"""

import re
from collections.abc import Mapping
from typing import Final

import torch
from torch import Tensor

from voxswap_store.errors import BadTensor

_PREFIX: Final = "cfm.base_model.model."
"""Under which a LoRA file keeps what the base calls "cfm.", buffers such as the rotary frequencies included."""
_PAIR: Final = re.compile(re.escape(_PREFIX) + r"(?P<layer>.+)\.lora_(?P<side>[AB])\.default\.weight")


def merge_lora(base: Mapping[str, Tensor], lora: Mapping[str, Tensor], rank: int | None) -> dict[str, Tensor]:
    """The whole checkpoint that the LoRA stands for.

    Args:
        base: every tensor of the base model.
        lora: pairs of matrices, and whole tensors that replace the base's.
        rank: as the file says; None where it does not say.

    Raises:
        BadTensor: a matrix has no partner, no base, or does not fit.
    """
    merged = dict(base)
    sides: dict[str, dict[str, Tensor]] = {}
    for name, tensor in lora.items():
        pair = _PAIR.fullmatch(name)
        if pair:
            sides.setdefault(pair["layer"], {})[pair["side"]] = tensor
        else:
            merged[_replaced(name, tensor, base)] = tensor
    for layer, matrices in sides.items():
        target = f"cfm.{layer}.weight"
        merged[target] = _merged(_PREFIX + layer, base.get(target), matrices, rank)
    return merged


def _replaced(name: str, tensor: Tensor, base: Mapping[str, Tensor]) -> str:
    """The base's name of a whole tensor of the file."""
    target = name
    if name.startswith(_PREFIX):
        target = "cfm." + name.removeprefix(_PREFIX).replace(".base_layer.", ".")
    if target in base and base[target].shape != tensor.shape:
        raise BadTensor(name, f"is {tuple(tensor.shape)}, the base has {tuple(base[target].shape)}")
    return target


def _merged(name: str, base: Tensor | None, sides: Mapping[str, Tensor], rank: int | None) -> Tensor:
    if base is None:
        raise BadTensor(name, "adapts a matrix that the base does not have")
    if sides.keys() != {"A", "B"}:
        raise BadTensor(name, f"has lora_{'A' if 'A' in sides else 'B'} without its partner")
    a, b = sides["A"], sides["B"]
    if a.ndim != 2 or b.ndim != 2 or a.shape[0] != b.shape[1] or (b.shape[0], a.shape[1]) != tuple(base.shape):
        raise BadTensor(name, f"B {tuple(b.shape)} times A {tuple(a.shape)} does not fit {tuple(base.shape)}")
    if rank is not None and a.shape[0] != rank:
        raise BadTensor(name, f"has rank {a.shape[0]}, the file says {rank}")
    return torch.addmm(base.float(), b.float(), a.float())
