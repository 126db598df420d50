"""The shared networks under our names: ERes2NetV2; HuBERT and BERT keep the names that transformers gives them.

Knows nothing of files. Batch norm is folded into the convolution before it; the classifier of the training and the
counters of batches are dropped.
"""

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from voxswap_store.converted import Converted
from voxswap_store.translation import Translation

_BANDS = 80
"""Upstream writes it into its code."""
_BATCH_NORM_EPSILON = 1e-5


def convert_eres2net(state: Mapping[str, Tensor]) -> Converted:
    """Translates the state dict of ERes2NetV2.

    Raises:
        BadTensor: a tensor is missing, malformed or contradicts the others; the message names it.
    """
    source = Translation(state)
    stem_width = source.size("conv1.weight", 4)[0]
    _normed(source, "conv1", "bn1", "stem", stem_width, 1, 3)
    layers, width = [], stem_width
    for number in range(1, 5):
        layer = _layer(source, f"layer{number}", f"layers.{number - 1}", width)
        width = layer["out_width"]
        layers.append(layer)
    source.layer("layer3_ds", "down", width, layers[2]["out_width"], 3, 3)
    fusion_width = _fusion(source, "fuse34", "fusion", width)
    config = {"bands": _BANDS, "stem_width": stem_width, "layers": layers, "fusion_width": fusion_width}
    return Converted(source.tensors, config)


def _layer(source: Translation, name: str, to: str, in_width: int) -> dict[str, Any]:
    """One layer of blocks, as a LayerConfig."""
    blocks = source.count(f"{name}.{{}}.conv1.weight")
    branches = source.count(f"{name}.0.convs.{{}}.weight")
    width = source.size(f"{name}.0.convs.0.weight", 4)[0]
    out_width = source.size(f"{name}.0.conv3.weight", 4)[0]
    attention_width = None
    for index in range(blocks):
        block, target = f"{name}.{index}", f"{to}.{index}"
        _normed(source, f"{block}.conv1", f"{block}.bn1", f"{target}.reduce", width * branches, in_width, 1)
        for branch in range(branches):
            one = f"{target}.branches.{branch}"
            _normed(source, f"{block}.convs.{branch}", f"{block}.bns.{branch}", one, width, width, 3)
        for fusion in source.numbers(f"{block}.fuse_models.{{}}.local_att.0.weight"):
            attention_width = _fusion(source, f"{block}.fuse_models.{fusion}", f"{target}.fusions.{fusion}", width)
        _normed(source, f"{block}.conv3", f"{block}.bn3", f"{target}.expand", out_width, width * branches, 1)
        if source.has(f"{block}.shortcut.0.weight"):
            _normed(source, f"{block}.shortcut.0", f"{block}.shortcut.1", f"{target}.shortcut", out_width, in_width, 1)
        in_width = out_width
    return {
        "blocks": blocks,
        "branch_width": width,
        "branches": branches,
        "out_width": out_width,
        "attention_width": attention_width,
    }


def _fusion(source: Translation, name: str, to: str, width: int) -> int:
    """A fusion of two maps: its inner width."""
    attention = f"{name}.local_att"
    inner = source.size(f"{attention}.0.weight", 4)[0]
    _normed(source, f"{attention}.0", f"{attention}.1", f"{to}.squeeze", inner, 2 * width, 1, bias=True)
    _normed(source, f"{attention}.3", f"{attention}.4", f"{to}.excite", width, inner, 1, bias=True)
    return inner


def _normed(
    source: Translation, conv: str, norm: str, to: str, out: int, wide: int, kernel: int, *, bias: bool = False
) -> None:
    """A convolution and the batch norm after it as one convolution; worked out in double precision."""
    weight = source.take(f"{conv}.weight", out, wide, kernel, kernel).double()
    gamma, beta, mean, variance = (
        source.take(f"{norm}.{part}", out).double() for part in ("weight", "bias", "running_mean", "running_var")
    )
    gain = gamma / torch.sqrt(variance + _BATCH_NORM_EPSILON)
    before = source.take(f"{conv}.bias", out).double() if bias else torch.zeros_like(mean)
    source.put(f"{to}.weight", (weight * gain[:, None, None, None]).float())
    source.put(f"{to}.bias", (beta + (before - mean) * gain).float())
