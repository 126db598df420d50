"""ERes2NetV2: speech to a vector that says who speaks (Chen et al. 2024; upstream sv.py over 3D-Speaker).

Used by v2Pro and v2ProPlus, which take the map before pooling, averaged over time. Knows nothing of the decoders. Batch
norm was folded into the convolutions when the file was imported.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Self

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torchaudio.compliance import kaldi

from voxswap_server.nn.adopt import parse_config
from voxswap_server.nn.pretrained import load_network, read_config

_RATE_HZ = 16_000
_CLIP = 20.0
"""The blocks' activation saturates here."""
_STRIDES = (1, 2, 2, 2)


@dataclass(frozen=True, slots=True)
class LayerConfig:
    blocks: int
    branch_width: int
    branches: int
    out_width: int
    attention_width: int | None
    """Of the fusion between branches; None: they are added."""


@dataclass(frozen=True, slots=True)
class ERes2NetConfig:
    bands: int
    stem_width: int
    layers: tuple[LayerConfig, LayerConfig, LayerConfig, LayerConfig]
    fusion_width: int

    @property
    def vector_width(self) -> int:
        rows = self.bands
        for stride in _STRIDES:
            rows = (rows - 1) // stride + 1
        return self.layers[-1].out_width * rows


class Fusion(nn.Module):
    """Weighs two maps against each other (attentional feature fusion)."""

    def __init__(self, width: int, inner: int) -> None:
        super().__init__()
        self.squeeze = nn.Conv2d(2 * width, inner, 1)
        self.excite = nn.Conv2d(inner, width, 1)

    def forward(self, x: Tensor, y: Tensor) -> Tensor:
        """Two (B, C, F, T) -> one."""
        weight = torch.tanh(self.excite(F.silu(self.squeeze(torch.cat((x, y), 1)))))
        return x * (1 + weight) + y * (1 - weight)


class Block(nn.Module):
    """A residual block whose middle is cut into branches; each branch sees what the one before it made."""

    def __init__(self, in_width: int, config: LayerConfig, stride: int) -> None:
        super().__init__()
        width = config.branch_width
        self.reduce = nn.Conv2d(in_width, width * config.branches, 1, stride)
        self.branches = nn.ModuleList(nn.Conv2d(width, width, 3, padding=1) for _ in range(config.branches))
        self.fusions = (
            nn.ModuleList(Fusion(width, config.attention_width) for _ in range(config.branches - 1))
            if config.attention_width is not None
            else None
        )
        self.expand = nn.Conv2d(width * config.branches, config.out_width, 1)
        same = stride == 1 and in_width == config.out_width
        self.shortcut = None if same else nn.Conv2d(in_width, config.out_width, 1, stride)

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, F, T) -> (B, out, F', T')."""
        parts = _clipped(self.reduce(x)).chunk(len(self.branches), 1)
        made: list[Tensor] = []
        for index, (branch, part) in enumerate(zip(self.branches, parts, strict=True)):
            if made:
                part = self.fusions[index - 1](made[-1], part) if self.fusions is not None else made[-1] + part  # noqa: PLW2901
            made.append(_clipped(branch(part)))
        residual = x if self.shortcut is None else self.shortcut(x)
        return _clipped(self.expand(torch.cat(made, 1)) + residual)


class ERes2Net(nn.Module):
    def __init__(self, config: ERes2NetConfig) -> None:
        super().__init__()
        self.stem = nn.Conv2d(1, config.stem_width, 3, padding=1)
        self.layers = nn.ModuleList()
        width = config.stem_width
        for layer, stride in zip(config.layers, _STRIDES, strict=True):
            blocks = nn.Sequential()
            for index in range(layer.blocks):
                blocks.append(Block(width, layer, stride if index == 0 else 1))
                width = layer.out_width
            self.layers.append(blocks)
        self.down = nn.Conv2d(config.layers[2].out_width, width, 3, _STRIDES[3], padding=1, bias=False)
        self.fusion = Fusion(width, config.fusion_width)

    def forward(self, bands: Tensor) -> Tensor:
        """Filter-bank energies (B, T, bands) -> (B, vector_width)."""
        x = F.relu(self.stem(bands.transpose(1, 2).unsqueeze(1)))  # (B, C, bands, T)
        third = self.layers[2](self.layers[1](self.layers[0](x)))
        joined = self.fusion(self.layers[3](third), self.down(third))
        return joined.flatten(1, 2).mean(-1)


class SpeakerVectorNet:
    def __init__(self, network: ERes2Net, bands: int) -> None:
        self._network = network
        self._bands = bands

    @classmethod
    def from_directory(
        cls, directory: Path, *, dtype: torch.dtype = torch.float32, device: torch.device | str = "cpu"
    ) -> Self:
        """Reads a directory with `config.json` and `model.safetensors`, as `layout_assets` translates them.

        Raises:
            OSError: a file cannot be read.
            ValueError: tensors and config do not fit each other.
        """
        config = parse_config(ERes2NetConfig, read_config(directory))
        network = load_network(lambda: ERes2Net(config), directory, dtype=dtype, device=device)
        return cls(network, config.bands)

    @property
    def modules(self) -> tuple[nn.Module, ...]:
        return (self._network,)

    def vector(self, wave: Tensor) -> Tensor:
        """Wave (1, n) at 16 kHz, sinc-resampled -> (1, vector_width) float32."""
        return self._network(filter_bank(wave, self._bands)[None].to(self._network.stem.weight)).float()


def filter_bank(wave: Tensor, bands: int) -> Tensor:
    """Kaldi's log mel energies, without dither: (1, n) at 16 kHz, in -1..1 -> (T, bands), 100 frames a second."""
    return kaldi.fbank(wave, num_mel_bins=bands, sample_frequency=_RATE_HZ, dither=0.0)


def _clipped(x: Tensor) -> Tensor:
    return x.clamp_(0.0, _CLIP)
