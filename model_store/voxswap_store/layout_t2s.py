"""Translates upstream's T2S tensors (SPEC §1.1) to the stored layout.

Knows nothing of files and of the network's code: the names written here are the contract that `nn/t2s.py` adopts.
Matrices are stored (in, out), the way a row of activations is multiplied with them, because that is a fifth faster on
CPUs for one or two rows. Values keep the checkpoint's dtype: upstream computes with the same half-precision weights.
"""

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from voxswap_store.converted import Converted
from voxswap_store.errors import BadTensor, CheckpointError

_PREFIX = "model."

_OUTSIDE = {
    "text_embedding.weight": "ar_text_embedding.word_embeddings.weight",
    "bert_projection.weight": "bert_proj.weight",
    "bert_projection.bias": "bert_proj.bias",
    "text_position.alpha": "ar_text_position.alpha",
    "audio_embedding.weight": "ar_audio_embedding.word_embeddings.weight",
    "audio_position.alpha": "ar_audio_position.alpha",
}
_INSIDE = {
    "qkv.weight": "self_attn.in_proj_weight",
    "qkv.bias": "self_attn.in_proj_bias",
    "out.weight": "self_attn.out_proj.weight",
    "out.bias": "self_attn.out_proj.bias",
    "norm1.weight": "norm1.weight",
    "norm1.bias": "norm1.bias",
    "ffn_in.weight": "linear1.weight",
    "ffn_in.bias": "linear1.bias",
    "ffn_out.weight": "linear2.weight",
    "ffn_out.bias": "linear2.bias",
    "norm2.weight": "norm2.weight",
    "norm2.bias": "norm2.bias",
}
_MATRICES = ("bert_projection.weight", "qkv.weight", "out.weight", "ffn_in.weight", "ffn_out.weight", "head.weight")

_BERT_DIM = 1024
_FFN_FACTOR = 4
"""Upstream ignores `linear_units`: its feed-forward layers are always this many times wider."""


def convert_t2s(weight: Mapping[str, Tensor], config: Mapping[str, Any]) -> Converted:
    """Renames, transposes and checks a T2S checkpoint.

    Args:
        weight: upstream's tensors, names prefixed `model.`.
        config: upstream's nested settings.

    Raises:
        CheckpointError: the settings lack a dimension or contradict themselves.
        BadTensor: a tensor is missing, unknown, of another shape than the settings say, not floating point, or holds
            NaN or infinity; the message names it as the file does.
    """
    dims = _dimensions(config)
    if dims["layers"] > len(weight):  # before as many names are made up
        raise CheckpointError(f"config: {dims['layers']} layers, but only {len(weight)} tensors")
    names = _names(dims["layers"])
    shapes = _shapes(dims)
    unknown = sorted(weight.keys() - {_PREFIX + theirs for theirs in names.values()})
    if unknown:
        raise BadTensor(unknown[0], f"is not part of a T2S checkpoint of {dims['layers']} layers")
    tensors = {ours: _checked(weight, _PREFIX + theirs, shapes[theirs]) for ours, theirs in names.items()}
    for ours in names:
        if ours.endswith(_MATRICES):
            tensors[ours] = tensors[ours].T
    return Converted({ours: tensor.contiguous() for ours, tensor in tensors.items()}, dims)


def _dimensions(config: Mapping[str, Any]) -> dict[str, Any]:
    """Upstream's settings under our names; plain JSON values."""
    dims: dict[str, Any] = {
        "hidden_dim": _whole(config, "hidden_dim"),
        "heads": _whole(config, "head"),
        "layers": _whole(config, "n_layer"),
        "vocab_size": _whole(config, "vocab_size"),
        "phoneme_vocab_size": _whole(config, "phoneme_vocab_size"),
        "eos": _whole(config, "EOS"),
    }
    if dims["eos"] != dims["vocab_size"] - 1:
        raise CheckpointError(f"config: EOS is {dims['eos']}, not the last of {dims['vocab_size']} tokens")
    if dims["hidden_dim"] % dims["heads"]:
        raise CheckpointError(f"config: a width of {dims['hidden_dim']} does not divide into {dims['heads']} heads")
    if _whole(config, "embedding_dim") != dims["hidden_dim"]:
        raise CheckpointError("config: embedding_dim and hidden_dim differ")
    return dims | {"ffn_dim": _FFN_FACTOR * dims["hidden_dim"], "bert_dim": _BERT_DIM, "max_s": _max_s(config)}


def _section(config: Mapping[str, Any], name: str) -> Mapping[str, Any]:
    section = config.get(name)
    if not isinstance(section, Mapping):
        raise CheckpointError(f"config: section {name!r} is missing")
    return section


def _whole(config: Mapping[str, Any], key: str) -> int:
    value = _section(config, "model").get(key)
    if not isinstance(value, int) or isinstance(value, bool) or value < 1:
        raise CheckpointError(f"config: model.{key} is {value!r}, must be a whole number above 0")
    return value


def _max_s(config: Mapping[str, Any]) -> float:
    value = _section(config, "data").get("max_sec")
    if not isinstance(value, int | float) or isinstance(value, bool) or not 0 < value < float("inf"):
        raise CheckpointError(f"config: data.max_sec is {value!r}, must be a number of seconds above 0")
    return float(value)


def _names(layers: int) -> dict[str, str]:
    """Our name to upstream's, without its prefix, in the order in which the network adopts them."""
    blocks = {
        f"layers.{layer}.{ours}": f"h.layers.{layer}.{theirs}"
        for layer in range(layers)
        for ours, theirs in _INSIDE.items()
    }
    return _OUTSIDE | blocks | {"head.weight": "ar_predict_layer.weight"}


def _shapes(dims: Mapping[str, Any]) -> dict[str, tuple[int, ...]]:
    """Upstream's name, without its prefix, to its shape."""
    width, inner = dims["hidden_dim"], dims["ffn_dim"]
    shapes: dict[str, tuple[int, ...]] = {
        "ar_text_embedding.word_embeddings.weight": (dims["phoneme_vocab_size"], width),
        "bert_proj.weight": (width, dims["bert_dim"]),
        "bert_proj.bias": (width,),
        "ar_text_position.alpha": (1,),
        "ar_audio_embedding.word_embeddings.weight": (dims["vocab_size"], width),
        "ar_audio_position.alpha": (1,),
        "ar_predict_layer.weight": (dims["vocab_size"], width),
    }
    inside: dict[str, tuple[int, ...]] = {
        "self_attn.in_proj_weight": (3 * width, width),
        "self_attn.in_proj_bias": (3 * width,),
        "self_attn.out_proj.weight": (width, width),
        "linear1.weight": (inner, width),
        "linear1.bias": (inner,),
        "linear2.weight": (width, inner),
    }
    for layer in range(dims["layers"]):
        shapes |= {f"h.layers.{layer}.{theirs}": inside.get(theirs, (width,)) for theirs in _INSIDE.values()}
    return shapes


def _checked(weight: Mapping[str, Tensor], name: str, shape: tuple[int, ...]) -> Tensor:
    tensor = weight.get(name)
    if tensor is None:
        raise BadTensor(name, "is missing")
    if tuple(tensor.shape) != shape:
        raise BadTensor(name, f"has shape {tuple(tensor.shape)}, the config says {shape}")
    if not tensor.is_floating_point():
        raise BadTensor(name, f"holds {tensor.dtype} values, must be floating point")
    if not torch.isfinite(tensor).all():
        raise BadTensor(name, "holds NaN or infinity")
    return tensor
