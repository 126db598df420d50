"""Loads the decoder of any version: the table from a family of decoders to the class that builds it.

Knows nothing of files; tensors and config are as the store wrote them.
"""

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from voxswap_server.nn.cfm import Cfm, CfmConfig
from voxswap_server.nn.decoder import Decoder
from voxswap_server.nn.native.team import Team
from voxswap_server.nn.specs import spec_of
from voxswap_server.nn.vits import Vits, VitsConfig
from voxswap_server.nn.vocoder import Vocoder


def load_decoder(
    config: Mapping[str, Any],
    tensors: Mapping[str, Tensor],
    *,
    vocoder: Vocoder | None = None,
    dtype: torch.dtype = torch.float32,
    device: torch.device | str = "cpu",
    team: Team | None = None,
) -> Decoder:
    """A decoder around stored tensors.

    Args:
        config: of the stored file; "version" says which row of the table it is.
        tensors: adopted without a copy where dtype and device fit; of a LoRA, the base's and its own over them.
        vocoder: the network that `spec_of(version).vocoder` names, where it names one; without it the decoder encodes
            prompts, but makes no samples.
        dtype: of the computation.
        device: where it runs.
        team: runs our kernels, where they compute a part of it; without it, PyTorch's do.

    Raises:
        RequestError: the version is unknown.
        ValueError: tensors and config do not fit the network.
    """
    family = spec_of(config["version"]).decoder
    return _FAMILIES[family](config, tensors, vocoder, dtype, device, team)


def faster_decoder(config: Mapping[str, Any], tensors: Mapping[str, Tensor]) -> Decoder:
    """A decoder on the CPU that makes its waveform in bfloat16: faster where the processor has instructions for that.

    Args:
        config: of the stored file, of a version that makes its own waveform.
        tensors: float32, and bfloat16 where `in_bfloat16` says so; adopted without a copy.

    Raises:
        ValueError: tensors and config do not fit the network.
    """
    return Vits.from_tensors(VitsConfig.from_dict(config), tensors, dtype=None)


def in_bfloat16(name: str) -> bool:
    """Whether a tensor of this name is bfloat16 in a `faster_decoder`."""
    return name.startswith("generator.")


def _vits(
    config: Mapping[str, Any],
    tensors: Mapping[str, Tensor],
    _vocoder: Vocoder | None,
    dtype: torch.dtype,
    device: torch.device | str,
    team: Team | None,
) -> Decoder:
    return Vits.from_tensors(VitsConfig.from_dict(config), tensors, dtype=dtype, device=device, team=team)


def _cfm(
    config: Mapping[str, Any],
    tensors: Mapping[str, Tensor],
    vocoder: Vocoder | None,
    dtype: torch.dtype,
    device: torch.device | str,
    _team: Team | None,
) -> Decoder:
    return Cfm.from_tensors(CfmConfig.from_dict(config), tensors, vocoder=vocoder, dtype=dtype, device=device)


_FAMILIES = {"vits": _vits, "cfm": _cfm}
