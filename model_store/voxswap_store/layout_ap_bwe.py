"""AP-BWE, which gives 24 kHz speech the band of 48 kHz, under our names.

Knows nothing of files. Widths and the number of layers come from the tensors; its `config.json` is asked for the
spectrum that it was trained on, which no tensor tells.
"""

from collections.abc import Mapping
from typing import Any, Final

from torch import Tensor

from voxswap_store.converted import Converted
from voxswap_store.errors import BadTensor, CheckpointError
from voxswap_store.translation import Translation

_KERNEL: Final = 7
_STREAMS: Final = {"mag": "magnitude", "pha": "phase"}
_SETTINGS: Final = {
    "n_fft": "fft_samples",
    "hop_size": "hop_samples",
    "win_size": "window_samples",
    "lr_sampling_rate": "in_hz",
    "hr_sampling_rate": "out_hz",
}
"""From upstream's names to ours."""
_RATES_HZ: Final = (24_000, 48_000)
"""Upstream uses the one network that leads from the first to the second; the authors have others."""


def is_ap_bwe(config: Mapping[str, Any]) -> bool:
    """Whether a `config.json` is that of an AP-BWE, of whatever rates."""
    return "ConvNeXt_channels" in config and _SETTINGS.keys() <= config.keys()


def convert_ap_bwe(state: Mapping[str, Tensor], config: Mapping[str, Any]) -> Converted:
    """Translates the generator of AP-BWE; `config` is its `config.json`.

    Raises:
        BadTensor: a tensor is missing, malformed or contradicts the others; the message names it.
        CheckpointError: the config lacks a number, or is that of a network for other rates.
    """
    told = {to: _positive(config, name) for name, to in _SETTINGS.items()}
    rates = (told["in_hz"], told["out_hz"])
    if rates != _RATES_HZ:
        raise CheckpointError(
            f"this AP-BWE leads from {rates[0]} to {rates[1]} Hz; the one from 24000 to 48000 is used"
        )
    ratio = told["out_hz"] // told["in_hz"]
    if told["hop_samples"] % ratio or not told["hop_samples"] < told["window_samples"] <= told["fft_samples"]:
        sizes = ", ".join(f"{name} {config[name]}" for name in ("hop_size", "win_size", "n_fft"))
        raise CheckpointError(f"the config's {sizes} make no spectrum")
    source = Translation(state)
    width, bins, _ = source.size("conv_pre_mag.weight", 3)
    if bins != told["fft_samples"] // 2 + 1:
        raise BadTensor("conv_pre_mag.weight", f"it has {bins} bins, the config's n_fft is {config['n_fft']}")
    inner, _ = source.size("convnext_mag.0.pwconv1.weight", 2)
    layers = source.count("convnext_mag.{}.dwconv.weight")
    for name, to in _STREAMS.items():
        source.layer(f"conv_pre_{name}", f"{to}.pre", width, bins, _KERNEL, bias=width)
        _norm(source, f"norm_pre_{name}", f"{to}.pre_norm", width)
        for index in range(layers):
            _block(source, f"convnext_{name}.{index}", f"{to}.blocks.{index}", width, inner)
        _norm(source, f"norm_post_{name}", f"{to}.post_norm", width)
    for name, to in (("mag", "magnitude"), ("pha_r", "real"), ("pha_i", "imaginary")):
        source.linear(f"linear_post_{name}", f"{to}_out", (bins, width))
    return Converted(source.tensors, {"width": width, "inner_width": inner, "layers": layers, **told})


def _positive(config: Mapping[str, Any], name: str) -> int:
    value = config.get(name)
    if type(value) is not int or value < 1:
        raise CheckpointError(f"the config's {name} is {value!r}, expected a whole number above 0")
    return value


def _norm(source: Translation, name: str, to: str, width: int) -> None:
    for part in ("weight", "bias"):
        source.copy(f"{name}.{part}", f"{to}.{part}", width)


def _block(source: Translation, name: str, to: str, width: int, inner: int) -> None:
    source.layer(f"{name}.dwconv", f"{to}.depthwise", width, 1, _KERNEL, bias=width)
    _norm(source, f"{name}.norm", f"{to}.norm", width)
    source.linear(f"{name}.pwconv1", f"{to}.widen", (inner, width))
    source.linear(f"{name}.pwconv2", f"{to}.narrow", (width, inner))
    source.copy(f"{name}.gamma", f"{to}.scale", width)
