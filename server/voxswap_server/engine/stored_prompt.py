"""An encoded prompt as tensors in a file, and back.

A voice that was imported with its prompt encoded speaks at once, and without the networks that encoded it.
"""

from collections.abc import Mapping

import torch
from torch import Tensor

from voxswap_server.engine.voice import PromptAudio
from voxswap_server.nn.decoder import Conditioning, FlowPrompt


def to_tensors(audio: PromptAudio) -> dict[str, Tensor]:
    """Tensors by name, in fp32 and int64 whatever the device computes in."""
    conditioning = audio.conditioning
    tensors = {"tokens": audio.tokens.long(), "speaker": conditioning.speaker.float()}
    if conditioning.prompt is not None:
        tensors |= {"mel": conditioning.prompt.mel.float(), "features": conditioning.prompt.features.float()}
    return {name: tensor.cpu().contiguous() for name, tensor in tensors.items()}


def from_tensors(tensors: Mapping[str, Tensor], device: torch.device | str = "cpu") -> PromptAudio:
    """What `to_tensors` was given.

    Raises:
        ValueError: names are missing or left over.
    """
    flow = tensors.keys() == {"tokens", "speaker", "mel", "features"}
    if not flow and tensors.keys() != {"tokens", "speaker"}:
        raise ValueError(f"an encoded prompt has tokens, speaker and maybe mel and features, not {sorted(tensors)}")
    on_device = {name: tensor.to(device) for name, tensor in tensors.items()}
    prompt = FlowPrompt(on_device["mel"], on_device["features"]) if flow else None
    return PromptAudio(on_device["tokens"], Conditioning(on_device["speaker"], prompt))
