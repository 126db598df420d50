"""A LoRA of a flow-matching decoder under our names: what it adds to its base, and what it replaces.

The pairs of small matrices are kept apart, not multiplied into the base: then all voices that lie on a base share its
memory. Measured on the released sizes (22 blocks, 1024 wide): a voice holds 23 MB instead of 369 MB of attention (rank
32, fp32), and a step takes 4 % longer (13 % at rank 128). Knows nothing of files and of pickles.
"""

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from voxswap_store.converted import Converted
from voxswap_store.errors import BadTensor, CheckpointError
from voxswap_store.layout_flow import condition, frequencies
from voxswap_store.layout_parts import CODEBOOK, hot_first, style_encoder
from voxswap_store.translation import Translation

_WRAPPER = "cfm.base_model.model.estimator"
_FREQUENCIES = f"{_WRAPPER}.rotary_embed.inv_freq"
_REPLACED = ("ref_enc.", "bridge.", "wns1.")
_IGNORED = ("linear_mel.", "quantizer.")
_FUSED = {"qkv": ("to_q", "to_k", "to_v"), "out": ("to_out.0",)}
"""Our attention's layers, and upstream's that each stands for."""


def convert_lora(weight: Mapping[str, Tensor], base: Converted, version: str, rank: int | None = None) -> Converted:
    """Translates a LoRA file.

    Args:
        weight: upstream's tensors.
        base: what `convert_sovits` made of the base model of this version.
        version: of both.
        rank: as the file says; None where it does not.

    Returns:
        The tensors that go over the base's, those that equal the base's left out; the config of both together.

    Raises:
        CheckpointError: a tensor is missing, malformed, does not fit the base, or is none that a LoRA may replace.
    """
    if base.config["version"] != version:
        raise CheckpointError(f"a LoRA of {version} cannot lie on a base of {base.config['version']}")
    source = Translation(weight)
    config = base.config
    _refuse_others(source)
    if source.has(CODEBOOK):
        source.copy(CODEBOOK, "codebook", *base.tensors["codebook"].shape)
    style = style_encoder(source) if source.starting("ref_enc.") else config["style"]
    conditioned = config["condition"]
    if source.starting("bridge.") or source.starting("wns1."):
        conditioned = condition(source, conditioned["in_width"], style["out_width"])
    dit = config["dit"] | {"lora_rank": _pairs(source, config["dit"], rank)}
    if source.has(_FREQUENCIES):
        dit |= {"frequencies": frequencies(source, _FREQUENCIES, dit["width"])}
    overlay = {name: tensor for name, tensor in source.tensors.items() if not _same(tensor, base.tensors.get(name))}
    for name, tensor in overlay.items():
        if name in base.tensors and base.tensors[name].shape != tensor.shape:
            raise BadTensor(name, f"its shape is {tuple(tensor.shape)}, the base has {tuple(base.tensors[name].shape)}")
    return Converted(hot_first(overlay), config | {"style": style, "condition": conditioned, "dit": dit})


def _refuse_others(source: Translation) -> None:
    for name in source.starting(""):
        adapts = name.startswith(f"{_WRAPPER}.transformer_blocks.") and ".lora_" in name
        if not (adapts or name == _FREQUENCIES or name.startswith((*_REPLACED, *_IGNORED))):
            raise BadTensor(name, "no LoRA replaces it")


def _pairs(source: Translation, dit: Mapping[str, Any], rank: int | None) -> int:
    """The small matrices of every block: their rank."""
    blocks, width = dit["depth"], dit["width"]
    prefix = f"{_WRAPPER}.transformer_blocks"
    found = source.size(f"{prefix}.0.attn.to_q.lora_A.default.weight", 2)[0]
    if rank is not None and rank != found:
        raise CheckpointError(f"the file says that its rank is {rank}, its matrices have rank {found}")
    for index in range(blocks):
        for target, names in _FUSED.items():
            layers = [f"{prefix}.{index}.attn.{name}.lora" for name in names]
            down = [source.take(f"{layer}_A.default.weight", found, width) for layer in layers]
            up = [source.take(f"{layer}_B.default.weight", width, found) for layer in layers]
            source.put(f"dit.blocks.{index}.attention.{target}.down", torch.cat(down))
            source.put(f"dit.blocks.{index}.attention.{target}.up", torch.stack([matrix.T for matrix in up]))
    if source.starting(f"{prefix}.{blocks}."):
        raise CheckpointError(f"the LoRA has more blocks than its base, which has {blocks}")
    return found


def _same(one: Tensor, other: Tensor | None) -> bool:
    return other is not None and one.shape == other.shape and torch.equal(one, other)
