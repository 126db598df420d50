"""The parts that decoders of several versions share, from upstream's names to ours.

Every function puts the tensors of one part down and returns its config, as plain JSON values. Knows nothing of which
version is made of which parts.
"""

from collections.abc import Mapping, Sequence
from typing import Any

from torch import Tensor

from voxswap_store.errors import BadTensor, CheckpointError
from voxswap_store.translation import Translation

CODEBOOK = "quantizer.vq.layers.0._codebook.embed"
_MRTE_HEADS = 4
_STYLE_HEADS = 2
"""Upstream writes these two into its code; no tensor and no config tells them."""
_REFERENCE = "reference."


def hot_first(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """What every utterance needs, then what only a prompt needs, so that the first can be read alone."""
    return dict(sorted(tensors.items(), key=lambda item: item[0].startswith(_REFERENCE)))


def codebook(source: Translation) -> tuple[int, int]:
    """The quantizer: (tokens, width)."""
    tokens, width = source.size(CODEBOOK, 2)
    source.copy(CODEBOOK, "codebook", tokens, width)
    source.layer("ssl_proj", "reference.content", width, width, 2, bias=width)
    return tokens, width


def style_encoder(source: Translation) -> dict[str, Any]:
    """The reference encoder, as the config of a StyleEncoder."""
    width, bins = source.size("ref_enc.spectral.0.fc.weight", 2)
    out_width = source.size("ref_enc.fc.fc.weight", 2)[0]
    kernel = source.size("ref_enc.temporal.0.conv1.conv.weight", 3)[2]
    to = "reference.style"
    source.linear("ref_enc.spectral.0.fc", f"{to}.spectral.0", (width, bins))
    source.linear("ref_enc.spectral.3.fc", f"{to}.spectral.1", (width, width))
    for index in range(2):
        conv = f"ref_enc.temporal.{index}.conv1.conv"
        source.layer(conv, f"{to}.temporal.{index}", 2 * width, width, kernel, bias=2 * width)
    source.joined([f"ref_enc.slf_attn.w_{name}s" for name in "qkv"], f"{to}.qkv", (width, width))
    source.linear("ref_enc.slf_attn.fc", f"{to}.attention_out", (width, width))
    source.linear("ref_enc.fc.fc", f"{to}.out", (out_width, width))
    return {"bins": bins, "width": width, "heads": _STYLE_HEADS, "kernel": kernel, "out_width": out_width}


def prior(
    source: Translation, content_width: int, speaker_width: int, *, latent_width: int, statistics: bool = True
) -> dict[str, Any]:
    """enc_p, as the config of a PriorEncoder."""
    phones, width = source.size("enc_p.text_embedding.weight", 2)
    joined_width = source.size("enc_p.mrte.c_pre.weight", 3)[0]
    projected = source.has("ge_to512.weight")
    if not projected and speaker_width != joined_width:
        raise BadTensor("ref_enc.fc.fc.weight", f"a speaker of {speaker_width} does not fit a MRTE of {joined_width}")
    source.linear("enc_p.ssl_proj", "prior.content_in", (width, content_width))
    content_encoder = _encoder(source, "enc_p.encoder_ssl", "prior.content_encoder", width)
    source.copy("enc_p.text_embedding.weight", "prior.phone_embedding.weight", phones, width)
    phone_encoder = _encoder(source, "enc_p.encoder_text", "prior.phone_encoder", width)
    if projected:
        source.linear("ge_to512", "prior.speaker_in", (joined_width, speaker_width))
    square = (joined_width, joined_width)
    attention = "enc_p.mrte.cross_attention.conv"
    source.linear("enc_p.mrte.c_pre", "prior.mrte.content_in", (joined_width, width))
    source.linear("enc_p.mrte.text_pre", "prior.mrte.phones_in", (joined_width, width))
    source.linear(f"{attention}_q", "prior.mrte.query", square)
    source.joined((f"{attention}_k", f"{attention}_v"), "prior.mrte.key_value", square)
    source.linear(f"{attention}_o", "prior.mrte.out", square)
    source.linear("enc_p.mrte.c_post", "prior.mrte.joined_out", (width, joined_width))
    joint_encoder = _encoder(source, "enc_p.encoder2", "prior.joint_encoder", width)
    if statistics:
        source.linear("enc_p.proj", "prior.statistics", (2 * latent_width, width))
    return {
        "content_width": content_width,
        "phones": phones,
        "latent_width": latent_width,
        "content_encoder": content_encoder,
        "phone_encoder": phone_encoder,
        "joint_encoder": joint_encoder,
        "mrte": {"in_width": width, "width": joined_width, "heads": _MRTE_HEADS},
        "speaker_width": speaker_width,
        "projected_speaker": projected,
        "statistics": statistics,
    }


def _encoder(source: Translation, prefix: str, to: str, width: int) -> dict[str, Any]:
    """One attention stack, as the config of a RelativeEncoder."""
    layers = source.count(f"{prefix}.attn_layers.{{}}.conv_q.weight")
    _, offsets, head_width = source.size(f"{prefix}.attn_layers.0.emb_rel_k", 3)
    inner, _, kernel = source.size(f"{prefix}.ffn_layers.0.conv_1.weight", 3)
    if width % head_width or offsets % 2 == 0:
        raise BadTensor(f"{prefix}.attn_layers.0.emb_rel_k", f"heads of {head_width} do not divide a width of {width}")
    for index in range(layers):
        attention, feed_forward = f"{prefix}.attn_layers.{index}", f"{prefix}.ffn_layers.{index}"
        source.joined([f"{attention}.conv_{name}" for name in "qkv"], f"{to}.{index}.attention.qkv", (width, width))
        for name, target in (("k", "key"), ("v", "value")):
            offset_vectors = source.take(f"{attention}.emb_rel_{name}", 1, offsets, head_width)[0]
            source.put(f"{to}.{index}.attention.{target}_offsets", offset_vectors)
        source.linear(f"{attention}.conv_o", f"{to}.{index}.attention.out", (width, width))
        source.layer(f"{feed_forward}.conv_1", f"{to}.{index}.feed_forward.conv1", inner, width, kernel, bias=inner)
        source.layer(f"{feed_forward}.conv_2", f"{to}.{index}.feed_forward.conv2", width, inner, kernel, bias=width)
        for norm in (1, 2):
            source.copy(f"{prefix}.norm_layers_{norm}.{index}.gamma", f"{to}.{index}.norm{norm}.weight", width)
            source.copy(f"{prefix}.norm_layers_{norm}.{index}.beta", f"{to}.{index}.norm{norm}.bias", width)
    return {
        "width": width,
        "heads": width // head_width,
        "layers": layers,
        "feed_forward_width": inner,
        "kernel": kernel,
        "window": offsets // 2,
    }


def wn(source: Translation, prefix: str, to: str, width: int, condition_width: int) -> dict[str, Any]:
    """One stack of gated convolutions, as the config of a Wn."""
    layers = source.count(f"{prefix}.in_layers.{{}}.bias")
    kernel = source.weight_size(f"{prefix}.in_layers.0", 3)[2]
    shifts = 2 * width * layers
    source.layer(f"{prefix}.cond_layer", f"{to}.condition", shifts, condition_width, 1, bias=shifts)
    for index in range(layers):
        wide = width if index == layers - 1 else 2 * width
        source.layer(f"{prefix}.in_layers.{index}", f"{to}.gates.{index}", 2 * width, width, kernel, bias=2 * width)
        source.layer(f"{prefix}.res_skip_layers.{index}", f"{to}.outs.{index}", wide, width, 1, bias=wide)
    return {"width": width, "layers": layers, "kernel": kernel, "condition_width": condition_width}


def upsampling_kernel(source: Translation, name: str, rate: int) -> int:
    """Length of the kernel of a transposed convolution that makes a signal `rate` times as long.

    Raises:
        BadTensor: this one cannot.
    """
    kernel = source.weight_size(name, 3)[2]
    if kernel < rate or (kernel - rate) % 2:
        raise BadTensor(name, f"a kernel of {kernel} cannot upsample by {rate}")
    return kernel


def generator(
    source: Translation, model: Mapping[str, Any], name: str, to: str, *, in_width: int, condition_width: int | None
) -> dict[str, Any]:
    """A HiFi-GAN generator, as the config of a Generator; rates and dilations come from `model`.

    Names may be empty, where the file holds nothing else.
    """
    prefix, to = (f"{part}." if part else "" for part in (name, to))
    if str(model.get("resblock", "1")) != "1":
        raise CheckpointError(f"residual blocks of kind {model['resblock']!r} are unknown; only kind '1' is")
    rates = numbers(model, "upsample_rates")
    block_dilations = [numbers({"resblock_dilation_sizes": row}, "resblock_dilation_sizes") for row in rows(model)]
    initial = source.weight_size(f"{prefix}conv_pre", 3)[0]
    source.frames(f"{prefix}conv_pre", f"{to}pre", initial, in_width, 7, bias=initial)
    if condition_width is not None:
        source.frames(f"{prefix}cond", f"{to}condition", initial, condition_width, 1, bias=initial)
    kernels: list[int] = []
    block_kernels: list[int] = []
    for stage, rate in enumerate(rates):
        width = initial // 2 ** (stage + 1)
        kernel = upsampling_kernel(source, f"{prefix}ups.{stage}", rate)
        kernels.append(kernel)
        source.frames(f"{prefix}ups.{stage}", f"{to}stages.{stage}.up", 2 * width, width, kernel, bias=width)
        block_kernels = _blocks(source, f"{prefix}resblocks", f"{to}stages.{stage}", stage, width, block_dilations)
    last = f"{prefix}conv_post"
    last_bias = source.has(f"{last}.bias")
    source.frames(last, f"{to}post", 1, initial // 2 ** len(rates), 7, bias=1 if last_bias else None)
    return {
        "in_width": in_width,
        "initial_width": initial,
        "rates": rates,
        "kernels": kernels,
        "block_kernels": block_kernels,
        "block_dilations": block_dilations,
        "condition_width": condition_width,
        "last_bias": last_bias,
    }


def _blocks(
    source: Translation, prefix: str, to: str, stage: int, width: int, block_dilations: Sequence[Sequence[int]]
) -> list[int]:
    """The residual blocks of one stage: their kernel sizes."""
    kernels = []
    for block, dilations in enumerate(block_dilations):
        name = f"{prefix}.{stage * len(block_dilations) + block}"
        kernel = source.weight_size(f"{name}.convs1.0", 3)[2]
        if kernel % 2 == 0:
            raise BadTensor(f"{name}.convs1.0", f"a kernel of {kernel} cannot keep the length")
        for index in range(len(dilations)):
            for group, target in (("convs1", "dilated"), ("convs2", "plain")):
                layer = f"{to}.blocks.{block}.{target}.{index}"
                source.frames(f"{name}.{group}.{index}", layer, width, width, kernel, bias=width)
        kernels.append(kernel)
    return kernels


def rows(model: Mapping[str, Any]) -> Sequence[Any]:
    rows = model.get("resblock_dilation_sizes")
    if not isinstance(rows, list | tuple) or not rows:
        raise CheckpointError(f"config.model.resblock_dilation_sizes is {rows!r}, expected lists of whole numbers")
    return rows


def numbers(model: Mapping[str, Any], name: str) -> list[int]:
    """A list of positive whole numbers of the config."""
    value = model.get(name)
    if not isinstance(value, list | tuple) or not value or not all(type(n) is int and 0 < n <= 1024 for n in value):
        raise CheckpointError(f"config.model.{name} is {value!r}, expected a list of positive whole numbers")
    return list(value)
