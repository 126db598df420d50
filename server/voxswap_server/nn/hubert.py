"""CN-HuBERT and others of its kind: speech to content features (Hsu et al. 2021; upstream cnhubert).

The network is transformers' HubertModel. Knows nothing of where the speech comes from: the wave is taken as it is, for
upstream does not apply the feature extractor's normalisation either.
"""

from pathlib import Path
from typing import Self

import torch
from torch import Tensor, nn
from torch.nn.utils.parametrize import remove_parametrizations
from transformers import HubertConfig, HubertModel

from voxswap_server.nn.adopt import adopt
from voxswap_server.nn.pretrained import read_config, read_tensors, tensor_names

_POSITIONS = "encoder.pos_conv_embed.conv"
_NORMED = (
    (f"{_POSITIONS}.weight_g", f"{_POSITIONS}.weight_v"),
    (f"{_POSITIONS}.parametrizations.weight.original0", f"{_POSITIONS}.parametrizations.weight.original1"),
)
"""Lengths and directions of the one weight under weight norm, as old and new files spell them."""


class ContentEncoder:
    def __init__(self, hubert: HubertModel) -> None:
        """`hubert` has its weight norm folded and is in eval mode."""
        self._hubert = hubert

    @classmethod
    def from_directory(
        cls, directory: Path, *, dtype: torch.dtype = torch.float32, device: torch.device | str = "cpu"
    ) -> Self:
        """Reads a directory of Hugging Face's layout and names, with `model.safetensors`.

        Raises:
            OSError: a file cannot be read.
            ValueError: tensors and config do not fit each other.
        """
        config = HubertConfig(**read_config(directory))
        wanted = tensor_names(lambda: _folded_network(config))
        tensors = read_tensors(directory, [*wanted, *(name for pair in _NORMED for name in pair)])
        for lengths, directions in _NORMED:
            if directions in tensors and lengths in tensors:
                tensors[f"{_POSITIONS}.weight"] = _fold(tensors.pop(lengths), tensors.pop(directions))
        return cls(adopt(lambda: _folded_network(config), tensors, dtype=dtype, device=device))

    @property
    def modules(self) -> tuple[nn.Module, ...]:
        return (self._hubert,)

    @property
    def width(self) -> int:
        """Of its features."""
        width: int = self._hubert.config.hidden_size
        return width

    def features(self, wave: Tensor) -> Tensor:
        """Wave (1, n) at 16 kHz -> (1, width, T) float32, 50 features a second."""
        weight = self._hubert.feature_projection.projection.weight
        return self._hubert(wave.to(weight)).last_hidden_state.transpose(1, 2).float()


def _folded_network(config: HubertConfig) -> HubertModel:
    network = HubertModel(config)
    remove_parametrizations(network.encoder.pos_conv_embed.conv, "weight")
    return network


def _fold(lengths: Tensor, directions: Tensor) -> Tensor:
    """Weight norm over all axes but the last, as HuBERT alone has it: (1, 1, K) and (C, G, K) -> (C, G, K)."""
    return directions * (lengths / torch.linalg.vector_norm(directions, dim=(0, 1), keepdim=True))
