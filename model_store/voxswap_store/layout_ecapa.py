"""SpeechBrain's ECAPA_TDNN as its speaker encoders store it: dimensions by the settings, each found in a tensor.

Knows nothing of files. The tensors keep SpeechBrain's names, for its own classes read them; the counters of batches are
dropped. What the settings ask for and we do not build is refused, never left out.
"""

import math
from collections.abc import Mapping
from typing import Final

from torch import Tensor

from voxswap_store.converted import Converted
from voxswap_store.errors import BadTensor, CheckpointError
from voxswap_store.hyperparams import Described, NotPlain, Setting
from voxswap_store.translation import Translation

_CLASSES: Final[Mapping[str, str]] = {
    "embedding_model": "speechbrain.lobes.models.ECAPA_TDNN.ECAPA_TDNN",
    "compute_features": "speechbrain.lobes.features.Fbank",
    "mean_var_norm": "speechbrain.processing.features.InputNormalization",
}
"""What a speaker encoder is made of, under the names that SpeechBrain's `EncoderClassifier` asks for."""

_RATE_HZ: Final = 16_000
_REACH_FRAMES: Final = 24
"""How far a convolution may look to one side: half a second of audio, the shortest that is heard, has 50 frames."""

_NETWORK_SETTINGS: Final[Mapping[str, Setting]] = {
    "input_size": None,
    "channels": (512, 512, 512, 512, 1536),
    "kernel_sizes": (5, 3, 3, 3, 1),
    "dilations": (1, 2, 3, 4, 1),
    "attention_channels": 128,
    "res2net_scale": 8,
    "se_channels": 128,
    "lin_neurons": 192,
    "global_context": True,
}
_FEATURE_SETTINGS: Final[Mapping[str, Setting]] = {
    "n_mels": 40,
    "sample_rate": _RATE_HZ,
    "f_min": 0,
    "f_max": _RATE_HZ // 2,
    "n_fft": 400,
    "win_length": 25,
    "hop_length": 10,
}
_NORMALIZATION_SETTINGS: Final[Mapping[str, Setting]] = {"norm_type": "global", "std_norm": True}
"""Arguments of SpeechBrain's classes, with the defaults that they have there."""
_UNUSED: Final = frozenset({"device", "dropout", "requires_grad", "left_frames", "right_frames", "update_until_epoch"})
"""Arguments that change nothing of what is heard."""
_ONLY: Final[Mapping[str, Setting]] = {
    "groups": (1, 1, 1, 1, 1),
    "activation": NotPlain("!name:torch.nn.ReLU"),
    "deltas": False,
    "context": False,
    "filter_shape": "triangular",
    "mean_norm": True,
    "norm_type": "sentence",
    "sample_rate": _RATE_HZ,
}
"""Arguments of which one value is built."""


def is_ecapa(objects: Mapping[str, Described]) -> bool:
    """Whether settings describe a network of this kind."""
    return "embedding_model" in objects and objects["embedding_model"].cls == _CLASSES["embedding_model"]


def convert_ecapa(state: Mapping[str, Tensor], objects: Mapping[str, Described]) -> Converted:
    """Checks the state dict of a speaker encoder against its settings.

    Args:
        state: of `embedding_model.ckpt`.
        objects: of `hyperparams.yaml`, as `hyperparams.read_objects` gives them.

    Raises:
        CheckpointError: a setting is missing, malformed or not built.
        BadTensor: a tensor is missing, malformed or contradicts the settings; the message names it.
    """
    network = _arguments(objects, "embedding_model", _NETWORK_SETTINGS)
    features = _arguments(objects, "compute_features", _FEATURE_SETTINGS)
    normalization = _arguments(objects, "mean_var_norm", _NORMALIZATION_SETTINGS)
    channels, kernels, dilations = (_sizes(network, name) for name in ("channels", "kernel_sizes", "dilations"))
    bands = _size(features, "n_mels")
    _require_shape(network, channels, kernels, dilations, bands)
    source = Translation(state)
    _tdnn(source, "blocks.0", channels[0], bands, kernels[0])
    scale, squeezed = _size(network, "res2net_scale"), _size(network, "se_channels")
    for number in range(1, len(channels) - 1):
        _block(source, f"blocks.{number}", channels[number - 1 : number + 1], kernels[number], scale, squeezed)
    wide, embedding = channels[-1], _size(network, "lin_neurons")
    _tdnn(source, "mfa", wide, sum(channels[1:-1]), kernels[-1])
    attention = _size(network, "attention_channels")
    context = _truth(network, "global_context")
    _tdnn(source, "asp.tdnn", attention, wide * (3 if context else 1), 1)
    _conv(source, "asp.conv", wide, attention, 1)
    _norm(source, "asp_bn", 2 * wide)
    _conv(source, "fc", embedding, 2 * wide, 1)
    return Converted(
        source.tensors,
        {
            "bands": bands,
            **_analysis(features),
            "scale_deviation": _truth(normalization, "std_norm"),
            "channels": channels,
            "kernel_sizes": kernels,
            "dilations": dilations,
            "attention_channels": attention,
            "res2net_scale": scale,
            "se_channels": squeezed,
            "embedding_dim": embedding,
            "global_context": context,
        },
    )


def _require_shape(
    network: Mapping[str, Setting], channels: list[int], kernels: list[int], dilations: list[int], bands: int
) -> None:
    if not 3 <= len(channels) == len(kernels) == len(dilations) <= 32:
        counts = f"{len(channels)} channels, {len(kernels)} kernel_sizes and {len(dilations)} dilations"
        raise CheckpointError(f"the settings have {counts}; as many of each, 3 to 32, make a network")
    if network["input_size"] not in (None, bands):
        raise CheckpointError(f"the network's input_size is {_told(network['input_size'])}, but n_mels is {bands}")
    if len(set(channels[1:-1])) > 1:
        raise CheckpointError(f"the channels {channels} differ between the inner blocks, which cannot be joined")
    if channels[1] % _size(network, "res2net_scale"):
        raise CheckpointError(f"a res2net_scale of {network['res2net_scale']} does not divide {channels[1]} channels")
    for kernel, dilation in zip(kernels, dilations, strict=True):
        if kernel % 2 == 0 or dilation * (kernel // 2) > _REACH_FRAMES:
            raise CheckpointError(f"a kernel of {kernel} with dilation {dilation} cannot hear half a second of audio")


def _analysis(features: Mapping[str, Setting]) -> dict[str, float]:
    """The filter bank: frequencies, lengths."""
    fft, window_ms, hop_ms = (_number(features, name) for name in ("n_fft", "win_length", "hop_length"))
    f_min, f_max = _number(features, "f_min"), _number(features, "f_max")
    if not (0 <= f_min < f_max <= _RATE_HZ / 2):
        raise CheckpointError(f"the filters reach from {f_min:g} to {f_max:g} Hz; 0 to {_RATE_HZ // 2} can be heard")
    if not (1 <= hop_ms <= 10 and hop_ms <= window_ms <= 100 and window_ms * _RATE_HZ / 1000 <= fft <= 4096):
        raise CheckpointError(f"a window of {window_ms:g} ms every {hop_ms:g} ms in {fft:g} points cannot be analysed")
    return {"f_min_hz": f_min, "f_max_hz": f_max, "fft_samples": int(fft), "window_ms": window_ms, "hop_ms": hop_ms}


def _block(source: Translation, name: str, widths: list[int], kernel: int, scale: int, squeezed: int) -> None:
    in_width, width = widths
    _tdnn(source, f"{name}.tdnn1", width, in_width, 1)
    for branch in range(scale - 1):
        _tdnn(source, f"{name}.res2net_block.blocks.{branch}", width // scale, width // scale, kernel)
    _tdnn(source, f"{name}.tdnn2", width, width, 1)
    _conv(source, f"{name}.se_block.conv1", squeezed, width, 1)
    _conv(source, f"{name}.se_block.conv2", width, squeezed, 1)
    if in_width != width:
        _conv(source, f"{name}.shortcut", width, in_width, 1)


def _tdnn(source: Translation, name: str, out: int, wide: int, kernel: int) -> None:
    _conv(source, f"{name}.conv", out, wide, kernel)
    _norm(source, f"{name}.norm", out)


def _conv(source: Translation, name: str, out: int, wide: int, kernel: int) -> None:
    source.layer(f"{name}.conv", f"{name}.conv", out, wide, kernel, bias=out)


def _norm(source: Translation, name: str, width: int) -> None:
    for part in ("weight", "bias", "running_mean", "running_var"):
        source.copy(f"{name}.norm.{part}", f"{name}.norm.{part}", width)
    if (source.tensors[f"{name}.norm.running_var"] < 0).any():
        raise BadTensor(f"{name}.norm.running_var", "a variance in it is negative")


def _arguments(objects: Mapping[str, Described], name: str, known: Mapping[str, Setting]) -> dict[str, Setting]:
    """The arguments of one object, defaults filled in."""
    cls = objects[name].cls if name in objects else "missing"
    if cls != _CLASSES[name]:
        raise CheckpointError(f"the settings' {name} is {cls}, expected {_CLASSES[name]}")
    given = {argument: value for argument, value in objects[name].arguments.items() if argument not in _UNUSED}
    arguments = {**known, **given}
    for argument, value in arguments.items():
        if argument in _ONLY and not _same(value, _ONLY[argument]):
            raise CheckpointError(f"{name}'s {argument} is {_told(value)}; only {_told(_ONLY[argument])} is known")
        if argument not in known and argument not in _ONLY:
            raise CheckpointError(f"{name} is given {argument!r}, which is not known; known are {', '.join(known)}")
    return arguments


def _same(value: Setting, only: Setting) -> bool:
    if isinstance(value, tuple) and isinstance(only, tuple):
        return set(value) == set(only)  # one number for each layer, however many there are
    return type(value) is type(only) and value == only


def _sizes(arguments: Mapping[str, Setting], name: str) -> list[int]:
    found = arguments[name]
    if not isinstance(found, tuple):
        raise CheckpointError(f"{name} is {_told(found)}, expected a list of whole numbers")
    return [_size({name: item}, name) for item in found]


def _size(arguments: Mapping[str, Setting], name: str) -> int:
    found = arguments[name]
    if type(found) is not int or not 1 <= found < 1 << 20:
        raise CheckpointError(f"{name} is {_told(found)}, expected a whole number of at least 1")
    return found


def _number(arguments: Mapping[str, Setting], name: str) -> float:
    found = arguments[name]
    if isinstance(found, bool) or not isinstance(found, int | float) or not math.isfinite(found):
        raise CheckpointError(f"{name} is {_told(found)}, expected a number")
    return found


def _truth(arguments: Mapping[str, Setting], name: str) -> bool:
    found = arguments[name]
    if not isinstance(found, bool):
        raise CheckpointError(f"{name} is {_told(found)}, expected yes or no")
    return found


def _told(value: object) -> str:
    return value.tag if isinstance(value, NotPlain) else repr(value)[:80]
