"""Seeded weights of GPT-SoVITS networks, tiny ones by default, under upstream's names and in upstream's shapes.

Knows nothing of files. The widths that upstream hard-codes are kept, the ones that a config may choose are small, or
those of the released models where speed is measured; a voice of these babbles. Values depend on the seed and the
tensor's name alone, so a new tensor changes no other.
"""

import zlib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import torch
from torch import Tensor

PRO: Final = ("v2Pro", "v2ProPlus")
FLOW_MATCHING: Final = ("v3", "v4")
VERSIONS: Final = ("v1", "v2", *PRO, *FLOW_MATCHING)

_HIDDEN, _JOINED, _STYLE = 192, 512, 128
_GIN, _PRO_GIN = 512, 64
_TOKENS, _VOCABULARY = 1024, 1025
_VECTOR: Final = 20_480
_DIT, _DIT_LAYERS, _DIT_TEXT, _BANDS = 64, 2, 512, 100
_TOKENS_PER_PHONE: Final = 2.5
"""Pace of a tiny voice: where its T2S half has said enough."""
_PLAIN_LAYERS: Final = 2
"""Layers of a T2S half whose residual branches have full strength. Deeper ones are faint: every layer norm would
otherwise shrink the signal that lets an utterance end."""
_FAINT: Final = 0.05


@dataclass(frozen=True, slots=True)
class Size:
    """What a config may choose."""

    t2s_width: int = 64
    t2s_layers: int = 2
    t2s_head_dim: int = 16
    prior_layers: int = 2
    prior_filter: int = 48
    decoder_width: int = 64
    """Of the VITS generator; half as much again in v2ProPlus."""
    block_kernels: tuple[int, ...] = (3, 5)
    block_dilations: tuple[tuple[int, ...], ...] = ((1, 3, 5), (1, 2, 3))
    content_width: int = 768
    """Of the content encoder's features; upstream knows no other."""


TINY: Final = Size()
RELEASED: Final = Size(512, 24, 32, 6, 768, 512, (3, 7, 11), ((1, 3, 5),) * 3)
"""Of the models that GPT-SoVITS releases, the style encoder and v2Pro's speaker width apart."""


class Weights:
    """Collects tensors."""

    def __init__(self, seed: int, dtype: torch.dtype = torch.float16) -> None:
        self.tensors: dict[str, Tensor] = {}
        self._seed = seed
        self._dtype = dtype

    def add(self, name: str, *shape: int, scale: float, centre: float = 0.0) -> Tensor:
        """Uniform values within `scale` of the centre."""
        random = np.random.Generator(np.random.Philox([self._seed, zlib.crc32(name.encode())]))
        values = random.random(shape, np.float32) * np.float32(2 * scale) + np.float32(centre - scale)
        self.tensors[name] = torch.from_numpy(values).to(self._dtype)
        return self.tensors[name]

    def layer(self, name: str, *shape: int, bias: bool = True, gain: float = 1.0) -> None:
        """A linear layer or a convolution that keeps the variance of what comes in."""
        self.add(f"{name}.weight", *shape, scale=gain * (3 / int(np.prod(shape[1:]))) ** 0.5)
        if bias:
            self.add(f"{name}.bias", shape[0], scale=0.05)

    def normed(self, name: str, *shape: int, out: int | None = None, gain: float = 1.0) -> None:
        """A convolution under weight norm; a transposed one gives `out`."""
        self.add(f"{name}.bias", out or shape[0], scale=0.05)
        self.add(f"{name}.weight_g", shape[0], *(1 for _ in shape[1:]), scale=0.1 * gain, centre=gain)
        self.add(f"{name}.weight_v", *shape, scale=(3 / int(np.prod(shape[1:]))) ** 0.5)

    def norm(self, name: str, width: int, parts: tuple[str, str] = ("weight", "bias")) -> None:
        self.add(f"{name}{parts[0]}", width, scale=0.1, centre=1.0)
        self.add(f"{name}{parts[1]}", width, scale=0.05)


Contents = tuple[dict[str, Tensor], dict[str, Any]]
"""(weight, config) of a checkpoint."""


def t2s_weights(version: str, seed: int, size: Size = TINY) -> Contents:
    """(weight, config) of a T2S checkpoint whose utterances end."""
    width, layers = size.t2s_width, size.t2s_layers
    weights, phonemes = Weights(seed), 512 if version == "v1" else 732
    weights.layer("model.bert_proj", width, 1024)
    weights.add("model.ar_text_embedding.word_embeddings.weight", phonemes, width, scale=2.0)
    weights.add("model.ar_audio_embedding.word_embeddings.weight", _VOCABULARY, width, scale=2.0)
    weights.add("model.ar_text_position.alpha", 1, scale=0.1, centre=1.0)
    weights.add("model.ar_audio_position.alpha", 1, scale=0.1, centre=1.0)
    for index in range(layers):
        layer, gain = f"model.h.layers.{index}", 1.0 if index < _PLAIN_LAYERS else _FAINT
        weights.add(f"{layer}.self_attn.in_proj_weight", 3 * width, width, scale=(3 / width) ** 0.5)
        weights.add(f"{layer}.self_attn.in_proj_bias", 3 * width, scale=0.05)
        weights.layer(f"{layer}.self_attn.out_proj", width, width, gain=gain)
        weights.layer(f"{layer}.linear1", 4 * width, width)
        weights.layer(f"{layer}.linear2", width, 4 * width, gain=gain)
        weights.norm(f"{layer}.norm1.", width)
        weights.norm(f"{layer}.norm2.", width)
    weights.layer("model.ar_predict_layer", _VOCABULARY, width, bias=False, gain=2.5)
    _let_it_end(weights.tensors, size)
    model = {
        "vocab_size": _VOCABULARY,
        "phoneme_vocab_size": phonemes,
        "embedding_dim": width,
        "hidden_dim": width,
        "head": width // size.t2s_head_dim,
        "linear_units": 4 * width,
        "n_layer": layers,
        "dropout": 0,
        "EOS": _VOCABULARY - 1,
        "random_bert": 0,
    }
    return weights.tensors, {"data": {"max_sec": 54, "pad_val": _VOCABULARY - 1}, "model": model}


def _let_it_end(tensors: Mapping[str, Tensor], size: Size) -> None:
    """Teaches the network when to stop: once there are `_TOKENS_PER_PHONE` tokens for every phone.

    One channel is negative in phones and positive in tokens, such that it averages to zero at that pace. The first head
    looks at all positions alike, so what it sees is that average; it writes it to two channels, with opposite signs,
    that nothing else touches, and the end token weighs their difference (which no layer norm can shift).
    """
    width, layers = size.t2s_width, size.t2s_layers
    seen, up, down = 0, width - 2, width - 4
    phones, tokens = "model.ar_text_embedding.word_embeddings.weight", "model.ar_audio_embedding.word_embeddings.weight"
    phone_share = 1 / (1 + _TOKENS_PER_PHONE)
    for name, value in ((phones, phone_share - 1), (tokens, phone_share)):
        tensors[name][:, [seen, up, down]] = torch.tensor([value, 0, 0], dtype=tensors[name].dtype)
    quiet = ["model.bert_proj"]
    for index in range(layers):
        layer = f"model.h.layers.{index}"
        quiet += [f"{layer}.self_attn.out_proj", f"{layer}.linear2"]
        for norm in ("norm1", "norm2"):
            tensors[f"{layer}.{norm}.weight"][[up, down]] = 1
            tensors[f"{layer}.{norm}.bias"][[up, down]] = 0
    for name in quiet:
        tensors[f"{name}.weight"][[up, down]] = 0
        tensors[f"{name}.bias"][[up, down]] = 0
    tensors["model.bert_proj.weight"][seen] = 0
    tensors["model.bert_proj.bias"][seen] = 0
    attention = "model.h.layers.0.self_attn"
    for part in ("weight", "bias"):
        tensors[f"{attention}.in_proj_{part}"][: size.t2s_head_dim] = 0  # its queries ask for nothing in particular
    tensors[f"{attention}.in_proj_weight"][2 * width] = 0
    tensors[f"{attention}.in_proj_weight"][2 * width, seen] = 1
    tensors[f"{attention}.in_proj_bias"][2 * width] = 0
    tensors[f"{attention}.out_proj.weight"][up, 0] = 4
    tensors[f"{attention}.out_proj.weight"][down, 0] = -4
    head = tensors["model.ar_predict_layer.weight"]
    head[:, [up, down]] = 0
    head[-1] = 0
    head[-1, up], head[-1, down] = 300, -300


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
