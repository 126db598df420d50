"""An encoded prompt as tensors by name, and back: in the file of a voice, and in the conditioning cache.

A voice that was imported with its prompt encoded speaks at once, and without the networks that encoded it.
"""

from collections.abc import Mapping

import torch
from torch import Tensor

from voxswap_server.engine.voice import PromptAudio
from voxswap_server.nn.decoder import Conditioning, FlowPrompt

_SPEAKER, _FLOW = {"speaker"}, {"speaker", "mel", "features"}


def to_tensors(audio: PromptAudio) -> dict[str, Tensor]:
    """Tensors by name, in fp32 and int64 whatever the device computes in."""
    conditioning = {name: tensor.float() for name, tensor in conditioning_tensors(audio.conditioning).items()}
    return {name: on_host(tensor) for name, tensor in {"tokens": audio.tokens.long(), **conditioning}.items()}


def from_tensors(tensors: Mapping[str, Tensor], device: torch.device | str = "cpu") -> PromptAudio:
    """What `to_tensors` was given.

    Raises:
        ValueError: names are missing or left over.
    """
    if "tokens" not in tensors:
        raise ValueError(f"an encoded prompt has tokens, speaker and maybe mel and features, not {sorted(tensors)}")
    conditioning = {name: tensor for name, tensor in tensors.items() if name != "tokens"}
    return PromptAudio(tensors["tokens"].to(device), conditioning_of(conditioning, device))


def conditioning_tensors(conditioning: Conditioning) -> dict[str, Tensor]:
    """Tensors by name, as they are."""
    flow = conditioning.prompt
    return {"speaker": conditioning.speaker} | ({"mel": flow.mel, "features": flow.features} if flow else {})


def conditioning_of(tensors: Mapping[str, Tensor], device: torch.device | str = "cpu") -> Conditioning:
    """What `conditioning_tensors` was given.

    Raises:
        ValueError: names are missing or left over.
    """
    if tensors.keys() not in (_SPEAKER, _FLOW):
        raise ValueError(f"a conditioning has speaker and maybe mel and features, not {sorted(tensors)}")
    moved = {name: tensor.to(device) for name, tensor in tensors.items()}
    return Conditioning(moved["speaker"], FlowPrompt(moved["mel"], moved["features"]) if "mel" in moved else None)


def on_host(tensor: Tensor) -> Tensor:
    """The same tensor in host memory, contiguous."""
    return tensor.cpu().contiguous()
