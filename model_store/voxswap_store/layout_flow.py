"""Upstream's flow-matching decoders (v3, v4) under our names, whole or as a LoRA over a base.

Knows nothing of files and of pickles. Dropped, because inference never reads it: linear_mel, enc_p.proj, and of the
quantizer embed_avg, cluster_size and inited.
"""

from collections.abc import Mapping
from typing import Any

import torch

from voxswap_store.errors import BadTensor
from voxswap_store.layout_parts import codebook, prior, style_encoder, wn
from voxswap_store.translation import Translation

_ESTIMATOR = "cfm.estimator"
_HEAD_WIDTH = 64
"""Where the file has no frequencies to tell it; upstream never has another."""


def flow_matching(source: Translation, _model: Mapping[str, Any]) -> dict[str, Any]:
    """A whole checkpoint, as a CfmConfig without its version."""
    tokens, content_width = codebook(source)
    style = style_encoder(source)
    width = style["out_width"]
    hidden_width = source.size("bridge.0.weight", 3)[1]
    return {
        "tokens": tokens,
        "content_width": content_width,
        "style": style,
        "prior": prior(source, content_width, width, latent_width=hidden_width, statistics=False),
        "condition": condition(source, hidden_width, width),
        "dit": _dit(source),
    }


def condition(source: Translation, hidden_width: int, speaker_width: int) -> dict[str, Any]:
    """Bridge and wns1, as the config of a ConditionEncoder."""
    width = source.size("bridge.0.weight", 3)[0]
    source.layer("bridge.0", "condition.bridge.0", width, hidden_width, 1, bias=width)
    source.layer("wns1.pre", "condition.pre", width, width, 1, bias=width)
    config = wn(source, "wns1.enc", "condition.wn", width, speaker_width)
    source.layer("wns1.proj", "condition.post", width, width, 1, bias=width)
    return {"in_width": hidden_width, "wn": config}


def _dit(source: Translation) -> dict[str, Any]:
    """The estimator, as a DitConfig."""
    bands, width = source.size(f"{_ESTIMATOR}.proj_out.weight", 2)
    joined_width = source.size(f"{_ESTIMATOR}.input_embed.proj.weight", 2)[1]
    condition_width = joined_width - 2 * bands
    for name, to in (("time_embed", "time"), ("d_embed", "step_size")):
        sinus_width = source.size(f"{_ESTIMATOR}.{name}.time_mlp.0.weight", 2)[1]
        source.linear(f"{_ESTIMATOR}.{name}.time_mlp.0", f"dit.{to}.linear1", (width, sinus_width))
        source.linear(f"{_ESTIMATOR}.{name}.time_mlp.2", f"dit.{to}.linear2", (width, width))
    text_blocks, text_inner_width = _text(source, condition_width)
    source.linear(f"{_ESTIMATOR}.input_embed.proj", "dit.joined_in", (width, joined_width))
    groups = _positions(source, width)
    depth, feed_forward_width = _blocks(source, width)
    source.linear(f"{_ESTIMATOR}.norm_out.linear", "dit.last_modulation", (2 * width, width))
    source.linear(f"{_ESTIMATOR}.proj_out", "dit.out", (bands, width))
    return {
        "bands": bands,
        "condition_width": condition_width,
        "width": width,
        "depth": depth,
        "frequencies": frequencies(source, f"{_ESTIMATOR}.rotary_embed.inv_freq", width),
        "feed_forward_width": feed_forward_width,
        "text_blocks": text_blocks,
        "text_inner_width": text_inner_width,
        "position_groups": groups,
    }


def frequencies(source: Translation, name: str, width: int) -> list[float]:
    """Of the rotary positions: the file's, which are not quite those that they were rounded from, or else those."""
    if not source.has(name):
        steps = torch.arange(0, _HEAD_WIDTH, 2, dtype=torch.float32) / _HEAD_WIDTH
        return (1 / 10_000**steps).tolist()
    count = source.size(name, 1)[0]
    if width % (2 * count):
        raise BadTensor(name, f"heads of {2 * count} do not divide a width of {width}")
    return source.take(name, count).float().tolist()


def _text(source: Translation, width: int) -> tuple[int, int]:
    """The ConvNeXt blocks over the condition: how many, and their inner width."""
    prefix = f"{_ESTIMATOR}.text_embed.text_blocks"
    blocks = source.count(f"{prefix}.{{}}.pwconv1.weight")
    inner = source.size(f"{prefix}.0.pwconv1.weight", 2)[0]
    for index in range(blocks):
        block, to = f"{prefix}.{index}", f"dit.text.blocks.{index}"
        source.layer(f"{block}.dwconv", f"{to}.depthwise", width, 1, 7, bias=width)
        source.layer(f"{block}.norm", f"{to}.norm", width, bias=width)
        source.linear(f"{block}.pwconv1", f"{to}.expand", (inner, width))
        for name in ("gamma", "beta"):
            source.put(f"{to}.{name}", source.take(f"{block}.grn.{name}", 1, 1, inner)[0, 0])
        source.linear(f"{block}.pwconv2", f"{to}.reduce", (width, inner))
    return blocks, inner


def _positions(source: Translation, width: int) -> int:
    """The two grouped convolutions: into how many groups they are cut."""
    prefix = f"{_ESTIMATOR}.input_embed.conv_pos_embed.conv1d"
    part = source.size(f"{prefix}.0.weight", 3)[1]
    if width % part:
        raise BadTensor(f"{prefix}.0.weight", f"groups of {part} do not divide a width of {width}")
    for index, number in enumerate((0, 2)):
        source.layer(f"{prefix}.{number}", f"dit.positions.convs.{index}", width, part, 31, bias=width)
    return width // part


def _blocks(source: Translation, width: int) -> tuple[int, int]:
    """The transformer: how many blocks, and the width of their feed-forward parts."""
    prefix = f"{_ESTIMATOR}.transformer_blocks"
    blocks = source.count(f"{prefix}.{{}}.attn_norm.linear.weight")
    inner = source.size(f"{prefix}.0.ff.ff.0.0.weight", 2)[0]
    for index in range(blocks):
        block, to = f"{prefix}.{index}", f"dit.blocks.{index}"
        source.linear(f"{block}.attn_norm.linear", f"{to}.modulation", (6 * width, width))
        source.joined([f"{block}.attn.to_{name}" for name in "qkv"], f"{to}.attention.qkv", (width, width))
        source.linear(f"{block}.attn.to_out.0", f"{to}.attention.out", (width, width))
        source.linear(f"{block}.ff.ff.0.0", f"{to}.expand", (inner, width))
        source.linear(f"{block}.ff.ff.2", f"{to}.reduce", (width, inner))
    return blocks, inner
