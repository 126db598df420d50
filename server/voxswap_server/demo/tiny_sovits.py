"""Seeded weights of SoVITS checkpoints of every version, whole and as a LoRA, under upstream's names.

Knows nothing of files, nor of the T2S half that draws the tokens.
"""

from collections.abc import Mapping
from typing import Any, Final

from voxswap_server.demo.tiny_weights import FLOW_MATCHING, PRO, TINY, Contents, Size, Weights

_HIDDEN, _JOINED, _STYLE = 192, 512, 128
_GIN, _PRO_GIN = 512, 64
_TOKENS: Final = 1024
_VECTOR: Final = 20_480
_DIT, _DIT_LAYERS, _DIT_TEXT, _BANDS = 64, 2, 512, 100


def sovits_weights(version: str, seed: int, size: Size = TINY) -> Contents:
    """(weight, config) of a whole SoVITS checkpoint."""
    weights = Weights(seed)
    gin = _PRO_GIN if version in PRO else _GIN
    _quantizer(weights, size.content_width)
    _style(weights, 1025 if version == "v1" else 704, gin)
    _prior(weights, 322 if version == "v1" else 732, size)
    model = _model(version, gin, size)
    if version in FLOW_MATCHING:
        _condition(weights)
        _dit(weights)
    else:
        weights.layer("enc_p.proj", 2 * _HIDDEN, _HIDDEN, 1, gain=0.5)
        for index in (0, 2, 4, 6):
            _coupling(weights, f"flow.flows.{index}", gin)
        _generator(weights, model, gin)
    if version in PRO:
        weights.layer("sv_emb", gin, _VECTOR)
        weights.layer("ge_to512", _JOINED, gin)
        weights.add("prelu.weight", gin, scale=0.1, centre=0.25)
    data = {"sampling_rate": 32_000, "filter_length": 2048, "hop_length": 640, "win_length": 2048, "n_speakers": 300}
    return weights.tensors, {"train": {"segment_size": 20_480}, "data": data, "model": model, "name": "tiny"}


def lora_weights(version: str, seed: int, rank: int = 4) -> Contents:
    """(weight, config) of a LoRA for the base of the same version."""
    weights = Weights(seed)
    for index in range(_DIT_LAYERS):
        for part in ("to_q", "to_k", "to_v", "to_out.0"):
            name = f"cfm.base_model.model.estimator.transformer_blocks.{index}.attn.{part}"
            weights.add(f"{name}.lora_A.default.weight", rank, _DIT, scale=0.2)
            weights.add(f"{name}.lora_B.default.weight", _DIT, rank, scale=0.4)
    weights.add("cfm.base_model.model.estimator.rotary_embed.inv_freq", 32, scale=0.05, centre=0.05)
    _quantizer(weights, TINY.content_width)
    del weights.tensors["ssl_proj.weight"], weights.tensors["ssl_proj.bias"]  # frozen, and no buffer
    _style(weights, 704, _GIN)
    _condition(weights)
    return weights.tensors, {"data": {"sampling_rate": 32_000}, "model": _model(version, _GIN, TINY)}


def _model(version: str, gin: int, size: Size) -> dict[str, Any]:
    plus = version == "v2ProPlus"
    return {
        "inter_channels": _HIDDEN,
        "hidden_channels": _HIDDEN,
        "filter_channels": size.prior_filter,
        "n_heads": 2,
        "n_layers": size.prior_layers,
        "kernel_size": 3,
        "p_dropout": 0.0,
        "resblock": "1",
        "resblock_kernel_sizes": list(size.block_kernels),
        "resblock_dilation_sizes": [list(dilations) for dilations in size.block_dilations],
        "upsample_rates": [10, 8, 2, 2, 2],
        "upsample_initial_channel": size.decoder_width * 3 // 2 if plus else size.decoder_width,
        "upsample_kernel_sizes": [20 if plus else 16, 16, 8, 2, 2],
        "gin_channels": gin,
        "semantic_frame_rate": "25hz",
        "freeze_quantizer": True,
        "version": version,
    }


def _quantizer(weights: Weights, content_width: int) -> None:
    weights.layer("ssl_proj", content_width, content_width, 2)
    codebook = "quantizer.vq.layers.0._codebook"
    weights.add(f"{codebook}.inited", 1, scale=0, centre=1.0)
    weights.add(f"{codebook}.cluster_size", _TOKENS, scale=20.0, centre=40.0)
    embed = weights.add(f"{codebook}.embed", _TOKENS, content_width, scale=1.0)
    weights.tensors[f"{codebook}.embed_avg"] = embed.clone()


def _style(weights: Weights, bins: int, gin: int) -> None:
    weights.layer("ref_enc.spectral.0.fc", _STYLE, bins)
    weights.layer("ref_enc.spectral.3.fc", _STYLE, _STYLE)
    for index in range(2):
        weights.layer(f"ref_enc.temporal.{index}.conv1.conv", 2 * _STYLE, _STYLE, 5)
    for name in ("w_qs", "w_ks", "w_vs", "fc"):
        weights.layer(f"ref_enc.slf_attn.{name}", _STYLE, _STYLE)
    weights.layer("ref_enc.fc.fc", gin, _STYLE)


def _prior(weights: Weights, phones: int, size: Size) -> None:
    weights.layer("enc_p.ssl_proj", _HIDDEN, size.content_width, 1)
    for name, layers in (("_ssl", size.prior_layers // 2), ("_text", size.prior_layers), ("2", size.prior_layers // 2)):
        _attention_stack(weights, f"enc_p.encoder{name}", layers, size.prior_filter)
    weights.add("enc_p.text_embedding.weight", phones, _HIDDEN, scale=0.15)
    for part in "qkvo":
        weights.layer(f"enc_p.mrte.cross_attention.conv_{part}", _JOINED, _JOINED, 1)
    weights.layer("enc_p.mrte.c_pre", _JOINED, _HIDDEN, 1)
    weights.layer("enc_p.mrte.text_pre", _JOINED, _HIDDEN, 1)
    weights.layer("enc_p.mrte.c_post", _HIDDEN, _JOINED, 1)


def _attention_stack(weights: Weights, name: str, layers: int, inner: int) -> None:
    for index in range(layers):
        for part in "qkvo":
            weights.layer(f"{name}.attn_layers.{index}.conv_{part}", _HIDDEN, _HIDDEN, 1)
        for part in "kv":
            weights.add(f"{name}.attn_layers.{index}.emb_rel_{part}", 1, 9, _HIDDEN // 2, scale=0.1)
        weights.layer(f"{name}.ffn_layers.{index}.conv_1", inner, _HIDDEN, 3)
        weights.layer(f"{name}.ffn_layers.{index}.conv_2", _HIDDEN, inner, 3)
        for norm in (1, 2):
            weights.norm(f"{name}.norm_layers_{norm}.{index}.", _HIDDEN, ("gamma", "beta"))


def _wn(weights: Weights, name: str, width: int, layers: int, gin: int) -> None:
    weights.normed(f"{name}.cond_layer", 2 * width * layers, gin, 1, gain=0.3)
    for index in range(layers):
        wide = width if index == layers - 1 else 2 * width
        weights.normed(f"{name}.in_layers.{index}", 2 * width, width, 5)
        weights.normed(f"{name}.res_skip_layers.{index}", wide, width, 1)


def _coupling(weights: Weights, name: str, gin: int) -> None:
    weights.layer(f"{name}.pre", _HIDDEN, _HIDDEN // 2, 1)
    _wn(weights, f"{name}.enc", _HIDDEN, 4, gin)
    weights.layer(f"{name}.post", _HIDDEN // 2, _HIDDEN, 1, gain=0.3)


def _generator(weights: Weights, model: Mapping[str, Any], gin: int) -> None:
    width = model["upsample_initial_channel"]
    weights.layer("dec.conv_pre", width, _HIDDEN, 7)
    weights.layer("dec.cond", width, gin, 1)
    blocks = list(zip(model["resblock_kernel_sizes"], model["resblock_dilation_sizes"], strict=True))
    for stage, (rate, kernel) in enumerate(zip(model["upsample_rates"], model["upsample_kernel_sizes"], strict=True)):
        weights.normed(f"dec.ups.{stage}", width, width // 2, kernel, out=width // 2, gain=rate**0.5)
        width //= 2
        for block, (size, dilations) in enumerate(blocks):
            name = f"dec.resblocks.{stage * len(blocks) + block}"
            for index in range(len(dilations)):
                for group in ("convs1", "convs2"):
                    weights.normed(f"{name}.{group}.{index}", width, width, size, gain=0.5)
    weights.layer("dec.conv_post", 1, width, 7, bias=False, gain=0.12)


def _condition(weights: Weights) -> None:
    """From the prior to what the flow-matching decoder is conditioned on."""
    weights.layer("bridge.0", _DIT_TEXT, _HIDDEN, 1)
    weights.layer("wns1.pre", _DIT_TEXT, _DIT_TEXT, 1)
    _wn(weights, "wns1.enc", _DIT_TEXT, 1, _GIN)
    weights.layer("wns1.proj", _DIT_TEXT, _DIT_TEXT, 1)
    weights.layer("linear_mel", _BANDS, _DIT_TEXT, 1)


def _dit(weights: Weights) -> None:
    root = "cfm.estimator"
    for embedding in ("time_embed", "d_embed"):
        weights.layer(f"{root}.{embedding}.time_mlp.0", _DIT, 256)
        weights.layer(f"{root}.{embedding}.time_mlp.2", _DIT, _DIT)
    block = f"{root}.text_embed.text_blocks.0"
    weights.layer(f"{block}.dwconv", _DIT_TEXT, 1, 7)
    weights.norm(f"{block}.norm.", _DIT_TEXT)
    weights.layer(f"{block}.pwconv1", 2 * _DIT_TEXT, _DIT_TEXT)
    weights.layer(f"{block}.pwconv2", _DIT_TEXT, 2 * _DIT_TEXT)
    for part in ("gamma", "beta"):
        weights.add(f"{block}.grn.{part}", 1, 1, 2 * _DIT_TEXT, scale=0.1)
    weights.layer(f"{root}.input_embed.proj", _DIT, 2 * _BANDS + _DIT_TEXT)
    for index in (0, 2):
        weights.layer(f"{root}.input_embed.conv_pos_embed.conv1d.{index}", _DIT, _DIT // 16, 31)
    weights.add(f"{root}.rotary_embed.inv_freq", 32, scale=0.05, centre=0.05)
    for index in range(_DIT_LAYERS):
        block = f"{root}.transformer_blocks.{index}"
        weights.layer(f"{block}.attn_norm.linear", 6 * _DIT, _DIT, gain=0.5)
        for part in ("to_q", "to_k", "to_v", "to_out.0"):
            weights.layer(f"{block}.attn.{part}", _DIT, _DIT)
        weights.layer(f"{block}.ff.ff.0.0", 2 * _DIT, _DIT)
        weights.layer(f"{block}.ff.ff.2", _DIT, 2 * _DIT)
    weights.layer(f"{root}.norm_out.linear", 2 * _DIT, _DIT)
    weights.layer(f"{root}.proj_out", _BANDS, _DIT, gain=0.5)
