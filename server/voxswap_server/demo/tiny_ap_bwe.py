"""Seeded weights of AP-BWE, tiny, as its authors publish it for GPT-SoVITS: `g_24kto48k.zip` and `config.json`.

Knows nothing of voices. The spectrum is the real one; only the width and the number of layers are small.
"""

import json
from pathlib import Path
from typing import Any, Final

import torch

from voxswap_server.demo.tiny_weights import Weights

CONFIG: Final[dict[str, Any]] = {
    "ConvNeXt_channels": 16,
    "ConvNeXt_layers": 2,
    "n_fft": 1024,
    "hop_size": 80,
    "win_size": 320,
    "hr_sampling_rate": 48_000,
    "lr_sampling_rate": 24_000,
    "subsampling_rate": 2,
}


def write_ap_bwe(directory: Path, seed: int) -> None:
    """Writes the authors' folder."""
    directory.mkdir(parents=True, exist_ok=True)
    torch.save({"generator": ap_bwe_state(seed)}, directory / "g_24kto48k.zip")
    (directory / "config.json").write_text(json.dumps(CONFIG, indent=1), encoding="utf-8")


def ap_bwe_state(seed: int) -> dict[str, torch.Tensor]:
    """The state dict of the generator: what comes out is about as loud as what goes in."""
    weights, width, bins = Weights(seed, torch.float32), CONFIG["ConvNeXt_channels"], CONFIG["n_fft"] // 2 + 1
    for stream in ("mag", "pha"):
        weights.layer(f"conv_pre_{stream}", width, bins, 7)
        weights.norm(f"norm_pre_{stream}.", width)
        for index in range(CONFIG["ConvNeXt_layers"]):
            block = f"convnext_{stream}.{index}"
            weights.layer(f"{block}.dwconv", width, 1, 7)
            weights.norm(f"{block}.norm.", width)
            weights.layer(f"{block}.pwconv1", 3 * width, width)
            weights.layer(f"{block}.pwconv2", width, 3 * width)
            weights.add(f"{block}.gamma", width, scale=0.1, centre=0.5)
        weights.norm(f"norm_post_{stream}.", width)
    weights.layer("linear_post_mag", bins, width, gain=0.2)
    for part in ("r", "i"):
        weights.layer(f"linear_post_pha_{part}", bins, width)
    return weights.tensors
