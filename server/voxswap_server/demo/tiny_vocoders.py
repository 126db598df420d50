"""Seeded weights of the two shared vocoders, tiny: BigVGAN of v3 and the HiFi-GAN of v4, as GPT-SoVITS keeps them.

Knows nothing of voices. Rates and kernels are the real ones; only the width is small.
"""

import json
from pathlib import Path
from typing import Any, Final

import numpy as np
import torch

from voxswap_server.demo.tiny_weights import Weights

_BANDS, _WIDTH = 100, 64
_DILATIONS: Final = ((1, 3, 5),) * 3
_KERNELS: Final = (3, 7, 11)
_BIGVGAN: Final[dict[str, Any]] = {
    "resblock": "1",
    "upsample_rates": [4, 4, 2, 2, 2, 2],
    "upsample_kernel_sizes": [8, 8, 4, 4, 4, 4],
    "upsample_initial_channel": _WIDTH,
    "resblock_kernel_sizes": list(_KERNELS),
    "resblock_dilation_sizes": [list(row) for row in _DILATIONS],
    "activation": "snakebeta",
    "snake_logscale": True,
    "use_tanh_at_final": False,
    "use_bias_at_final": False,
    "num_mels": _BANDS,
    "hop_size": 256,
    "sampling_rate": 24_000,
}
_V4_STAGES: Final = ((10, 20), (6, 12), (2, 4), (2, 4), (2, 4))
"""Rate and kernel of each."""


def write_bigvgan(directory: Path, seed: int) -> None:
    """Writes NVIDIA's folder: `config.json` and `bigvgan_generator.pt`."""
    weights, width, taps = Weights(seed, torch.float32), _WIDTH, _low_pass()

    def activation(name: str, width: int) -> None:
        weights.add(f"{name}.act.alpha", width, scale=0.3)
        weights.add(f"{name}.act.beta", width, scale=0.3)
        for part in ("upsample.filter", "downsample.lowpass.filter"):
            weights.tensors[f"{name}.{part}"] = taps.clone()

    weights.normed("conv_pre", width, _BANDS, 7, gain=0.2)
    for stage, (rate, kernel) in enumerate(
        zip(_BIGVGAN["upsample_rates"], _BIGVGAN["upsample_kernel_sizes"], strict=True)
    ):
        weights.normed(f"ups.{stage}.0", width, width // 2, kernel, out=width // 2, gain=(rate / 2) ** 0.5)
        width //= 2
        for block, size in enumerate(_KERNELS):
            name = f"resblocks.{stage * len(_KERNELS) + block}"
            for index in range(3):
                weights.normed(f"{name}.convs1.{index}", width, width, size, gain=0.3)
                weights.normed(f"{name}.convs2.{index}", width, width, size, gain=0.3)
            for index in range(6):
                activation(f"{name}.activations.{index}", width)
    activation("activation_post", width)
    weights.normed("conv_post", 1, width, 7, gain=0.1)
    del weights.tensors["conv_post.bias"]
    directory.mkdir(parents=True, exist_ok=True)
    torch.save({"generator": weights.tensors}, directory / "bigvgan_generator.pt")
    (directory / "config.json").write_text(json.dumps(_BIGVGAN, indent=1), encoding="utf-8")


def write_vocoder_v4(file: Path, seed: int) -> None:
    """Writes `vocoder.pth`: a plain state dict, its weight norm already gone."""
    weights, width = Weights(seed, torch.float32), _WIDTH
    weights.layer("conv_pre", width, _BANDS, 7, gain=0.2)
    for stage, (rate, kernel) in enumerate(_V4_STAGES):
        weights.add(f"ups.{stage}.weight", width, width // 2, kernel, scale=(3 * rate / (width * kernel)) ** 0.5)
        width //= 2
        weights.add(f"ups.{stage}.bias", width, scale=0.05)
        for block, size in enumerate(_KERNELS):
            for index in range(3):
                for group in ("convs1", "convs2"):
                    name = f"resblocks.{stage * len(_KERNELS) + block}.{group}.{index}"
                    weights.layer(name, width, width, size, gain=0.5)
    weights.layer("conv_post", 1, width, 7, gain=0.3)
    file.parent.mkdir(parents=True, exist_ok=True)
    torch.save(weights.tensors, file)


def _low_pass(taps: int = 12) -> torch.Tensor:
    """(1, 1, taps): a windowed sinc at half the band, which sums to one."""
    time = np.arange(taps) - (taps - 1) / 2
    kernel = np.sinc(time / 2) * np.kaiser(taps, 4.66)
    return torch.from_numpy((kernel / kernel.sum()).astype(np.float32)).reshape(1, 1, taps)
