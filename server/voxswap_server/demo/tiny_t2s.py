"""Seeded weights of a T2S checkpoint whose utterances end, under upstream's names.

Knows nothing of files, nor of the decoder that speaks its tokens.
"""

from collections.abc import Mapping
from typing import Final

import torch
from torch import Tensor

from voxswap_server.demo.tiny_weights import TINY, Contents, Size, Weights

_VOCABULARY: Final = 1025
_TOKENS_PER_PHONE: Final = 2.5
"""Pace of a tiny voice: where its T2S half has said enough."""
_PLAIN_LAYERS: Final = 2
"""Layers of a T2S half whose residual branches have full strength. Deeper ones are faint: every layer norm would
otherwise shrink the signal that lets an utterance end."""
_FAINT: Final = 0.05


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
