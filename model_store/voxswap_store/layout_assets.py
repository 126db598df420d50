"""The shared networks under our names: ERes2NetV2, BigVGAN, v4's vocoder. HuBERT and BERT keep transformers' names.

Knows nothing of files. Batch norm is folded into the convolution before it; the classifier of the training and the
counters of batches are dropped.
"""

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from voxswap_store.converted import Converted
from voxswap_store.errors import BadTensor, CheckpointError
from voxswap_store.layout_parts import generator, numbers, rows, upsampling_kernel
from voxswap_store.translation import Translation

_BANDS = 80
"""Upstream writes it into its code."""
_BATCH_NORM_EPSILON = 1e-5
_FILTER_TAPS = 12
_VOCODER_V4 = {"upsample_rates": [10, 6, 2, 2, 2], "resblock_dilation_sizes": [[1, 3, 5]] * 3}
"""The file of v4's vocoder holds no config; upstream writes this into its code."""


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


def convert_vocoder_v4(state: Mapping[str, Tensor]) -> Converted:
    """Translates v4's vocoder, a HiFi-GAN without a condition.

    Raises:
        BadTensor: a tensor is missing, malformed or contradicts the others; the message names it.
    """
    source = Translation(state)
    bands = source.weight_size("conv_pre", 3)[1]
    config = generator(source, _VOCODER_V4, "", "", in_width=bands, condition_width=None)
    return Converted(source.tensors, config)


def convert_bigvgan(state: Mapping[str, Tensor], config: Mapping[str, Any]) -> Converted:
    """Translates BigVGAN; `config` is its `config.json`, asked for what no tensor tells.

    Raises:
        CheckpointError: a tensor is missing or malformed, or the config asks for what is not built.
    """
    expected = {"activation": "snakebeta", "snake_logscale": True, "use_tanh_at_final": False, "resblock": "1"}
    for name, value in expected.items():
        if config.get(name) != value:
            raise CheckpointError(f"the config's {name} is {config.get(name)!r}; only {value!r} is known")
    source = Translation(state)
    rates = numbers(config, "upsample_rates")
    dilations = [numbers({"resblock_dilation_sizes": row}, "resblock_dilation_sizes") for row in rows(config)]
    initial, bands, _ = source.weight_size("conv_pre", 3)
    for name, to in (("upsample.filter", "up_filter"), ("downsample.lowpass.filter", "down_filter")):
        source.put(to, _same_everywhere(source, name))
    source.layer("conv_pre", "pre", initial, bands, 7, bias=initial)
    kernels, block_kernels = [], []
    for stage, rate in enumerate(rates):
        width = initial // 2 ** (stage + 1)
        kernel = upsampling_kernel(source, f"ups.{stage}.0", rate)
        kernels.append(kernel)
        source.layer(f"ups.{stage}.0", f"stages.{stage}.up", 2 * width, width, kernel, bias=width)
        block_kernels = [
            _amp_block(
                source, f"resblocks.{stage * len(dilations) + index}", f"stages.{stage}.blocks.{index}", width, len(row)
            )
            for index, row in enumerate(dilations)
        ]
    last_width = initial // 2 ** len(rates)
    _activation(source, "activation_post", "activation", last_width)
    source.layer("conv_post", "post", 1, last_width, 7)
    return Converted(
        source.tensors,
        {
            "in_width": bands,
            "initial_width": initial,
            "rates": rates,
            "kernels": kernels,
            "block_kernels": block_kernels,
            "block_dilations": dilations,
        },
    )


def _same_everywhere(source: Translation, ending: str) -> Tensor:
    """A filter that every activation carries a copy of: (taps,)."""
    names = source.ending(f".{ending}")
    copies = [source.take(name, 1, 1, _FILTER_TAPS)[0, 0] for name in names]
    if not copies:
        raise BadTensor(f"activation_post.{ending}", "it is missing")
    for name, copy in zip(names, copies, strict=True):
        if not torch.equal(copy, copies[0]):
            raise BadTensor(name, "it differs from that of the other activations")
    return copies[0]


def _amp_block(source: Translation, name: str, to: str, width: int, pairs: int) -> int:
    """A residual block of BigVGAN: its kernel size."""
    kernel = source.weight_size(f"{name}.convs1.0", 3)[2]
    if kernel % 2 == 0:
        raise BadTensor(f"{name}.convs1.0", f"a kernel of {kernel} cannot keep the length")
    for index in range(pairs):
        source.layer(f"{name}.convs1.{index}", f"{to}.dilated.{index}", width, width, kernel, bias=width)
        source.layer(f"{name}.convs2.{index}", f"{to}.plain.{index}", width, width, kernel, bias=width)
    for index in range(2 * pairs):
        _activation(source, f"{name}.activations.{index}", f"{to}.activations.{index}", width)
    return kernel


def _activation(source: Translation, name: str, to: str, width: int) -> None:
    """Frequency and amplitude, which the file holds as logarithms and the amplitude upside down."""
    source.put(f"{to}.frequency", source.take(f"{name}.act.alpha", width).float().exp())
    source.put(f"{to}.amplitude", 1 / (source.take(f"{name}.act.beta", width).float().exp() + 1e-9))


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
