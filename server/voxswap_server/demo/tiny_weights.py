"""Seeded weights of GPT-SoVITS networks, tiny ones by default, under upstream's names and in upstream's shapes.

Knows nothing of files. The widths that upstream hard-codes are kept, the ones that a config may choose are small, or
those of the released models where speed is measured; a voice of these babbles. Values depend on the seed and the
tensor's name alone, so a new tensor changes no other.
"""

import zlib
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import torch
from torch import Tensor

PRO: Final = ("v2Pro", "v2ProPlus")
FLOW_MATCHING: Final = ("v3", "v4")
VERSIONS: Final = ("v1", "v2", *PRO, *FLOW_MATCHING)


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
