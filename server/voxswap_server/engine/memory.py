"""What the parts of a voice and the shared networks weigh, and how they move between memories.

A table from the kind of a part to two functions; knows nothing of residency or of files.
"""

import copy
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any, Protocol, runtime_checkable

import torch
from torch import Tensor, nn

from voxswap_server.engine.voice import PromptAudio
from voxswap_server.nn.t2s import T2S
from voxswap_server.nn.t2s_native import NativeT2S


@runtime_checkable
class SharedNetwork(Protocol):
    """A network around whose modules there is more: a tokenizer, a rule."""

    @property
    def modules(self) -> tuple[nn.Module, ...]:
        """All that have tensors."""
        ...


@runtime_checkable
class Weighed(Protocol):
    """What has no tensors to count and says itself what it takes; it stays in host memory."""

    @property
    def size_bytes(self) -> int: ...


@dataclass(frozen=True, slots=True)
class TensorSet:
    """Tensors that make a network only together with others: a LoRA, or the base under it."""

    config: Mapping[str, Any]
    tensors: Mapping[str, Tensor]


def size_of(value: object, but_for: Callable[[int], bool] = lambda _address: False) -> int:
    """Bytes of its tensors; memory that two of them share is counted once.

    Args:
        value: a part of a voice, or a shared network.
        but_for: asked of the address of each stretch of memory whether it is left out.
    """
    if isinstance(value, Weighed):
        return value.size_bytes
    begin = end = 0
    found: dict[int, int] = {}
    for tensor in _tensors(value):
        if begin <= tensor.data_ptr() < end:  # in the same stretch as the one before, as most are
            continue
        storage = tensor.untyped_storage()
        begin = storage.data_ptr()
        end = begin + storage.nbytes()
        found[begin] = storage.nbytes()
    return sum(size_bytes for address, size_bytes in found.items() if not but_for(address))


def copied_to(value: Any, device: torch.device) -> Any:
    """A copy on another device, which shares nothing with the original."""
    if isinstance(value, T2S):
        return T2S(value.config, {name: _copied(tensor, device) for name, tensor in value.tensors.items()})
    if isinstance(value, TensorSet):
        return TensorSet(value.config, {name: _copied(tensor, device) for name, tensor in value.tensors.items()})
    if isinstance(value, nn.Module):
        return copy.deepcopy(value).to(device)
    if isinstance(value, SharedNetwork):
        twin = copy.deepcopy(value)
        for module in twin.modules:
            module.to(device)
        return twin
    if isinstance(value, PromptAudio):
        conditioning = value.conditioning
        flow = conditioning.prompt
        moved = flow and replace(flow, mel=_copied(flow.mel, device), features=_copied(flow.features, device))
        return PromptAudio(
            _copied(value.tokens, device),
            replace(conditioning, speaker=_copied(conditioning.speaker, device), prompt=moved),
        )
    raise TypeError(f"a part of a voice is no {type(value).__name__}")


def _copied(tensor: Tensor, device: torch.device) -> Tensor:
    return tensor.to(device, copy=True)


def _tensors(value: object) -> Iterator[Tensor]:
    if isinstance(value, T2S | NativeT2S | TensorSet):
        yield from value.tensors.values()
    elif isinstance(value, nn.Module):
        for module in value.modules():
            for table in (module._parameters, module._buffers):  # noqa: SLF001 - `parameters` takes twice as long
                yield from (tensor for tensor in table.values() if tensor is not None)
    elif isinstance(value, SharedNetwork):
        for module in value.modules:
            yield from _tensors(module)
    elif isinstance(value, PromptAudio):
        yield value.tokens
        yield value.conditioning.speaker
        if value.conditioning.prompt is not None:
            yield value.conditioning.prompt.mel
            yield value.conditioning.prompt.features
    else:
        raise TypeError(f"a part of a voice is no {type(value).__name__}")
