"""Loads the vocoder that a version names: the table from a name to the network behind it.

Knows nothing of voices: a vocoder is loaded once and shared.
"""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from voxswap_server.nn.adopt import parse_config
from voxswap_server.nn.bigvgan import BigVgan, BigVganConfig
from voxswap_server.nn.hifigan import Generator, GeneratorConfig
from voxswap_server.nn.native.team import Team
from voxswap_server.nn.pretrained import load_network, read_config


class LoadedVocoder:
    """Implements `vocoder.Vocoder`."""

    def __init__(self, network: nn.Module, samples_per_frame: int, reach_frames: int, team: Team | None = None) -> None:
        """A team is for a network that takes one."""
        self._network = network
        self._threads = {} if team is None else {"team": team}
        self.samples_per_frame = samples_per_frame
        self.reach_frames = reach_frames

    @property
    def modules(self) -> tuple[nn.Module, ...]:
        return (self._network,)

    def samples(self, mel: Tensor) -> Tensor:
        """As `Vocoder.samples`."""
        weight = next(self._network.parameters())
        return self._network(mel.to(weight), **self._threads)[0].float()


def load_vocoder(
    name: str,
    directory: Path,
    *,
    dtype: torch.dtype = torch.float32,
    device: torch.device | str = "cpu",
    team: Team | None = None,
) -> LoadedVocoder:
    """Reads a directory with `config.json` and `model.safetensors`, as `layout_assets` translates it.

    Args:
        name: as `VersionSpec.vocoder` has it.
        directory: of the asset.
        dtype: of the computation.
        device: where it runs.
        team: runs our kernels on the CPU, where they compute a part of it; without it, PyTorch's do.

    Raises:
        OSError: a file cannot be read.
        ValueError: tensors and config do not fit each other.
    """
    cls, build = _VOCODERS[name]
    config = parse_config(cls, read_config(directory))
    network = load_network(lambda: build(config), directory, dtype=dtype, device=device)
    if not isinstance(network, Generator):
        team = None
    elif team is not None:
        network.prepare()
    return LoadedVocoder(network, config.samples_per_frame, config.reach_frames, team)


_VOCODERS: Mapping[str, tuple[type[Any], Callable[[Any], nn.Module]]] = {
    "bigvgan": (BigVganConfig, BigVgan),
    "vocoder_v4": (GeneratorConfig, Generator),
}
