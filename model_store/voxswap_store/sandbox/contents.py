"""What a checkpoint holds: tensors by name, and plain values beside them.

Knows nothing of files. Every claim of a tensor is checked here against the bytes that are really there; what comes out
can be copied without another thought.
"""

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final

from voxswap_store.sandbox.limits import Limits
from voxswap_store.sandbox.pickle_machine import Attributes, Storage, TensorView
from voxswap_store.sandbox.problem import Problem, shorten

KEPT_VALUES: Final = ("config", "info", "lora_rank")
"""What stands beside the tensors of a checkpoint and matters at inference."""
_WRAPPERS: Final = ("weight", "generator", "state_dict")
"""Keys under which the tensors lie; without one of them the file is itself the dict of tensors."""
_SNAPSHOT: Final = frozenset({"model", "iteration", "optimizer", "learning_rate"})
_PLAIN: Final = (type(None), bool, int, float, str)
_LONGEST_EMPTY: Final = 1 << 32
"""Of a tensor without elements, the product of its other axes: whoever counts along them should come to an end."""


@dataclass(frozen=True, slots=True)
class Contents:
    tensors: dict[str, TensorView]
    values: dict[str, Any]
    """Plain JSON values."""
    wrapper: str
    """Under which key the tensors lay, or ""."""


def sort_out(value: Any, limits: Limits) -> Contents:
    """Separates tensors from plain values.

    Raises:
        Problem: the value is no checkpoint.
    """
    if not isinstance(value, dict) or isinstance(value, Attributes):
        raise Problem("NotACheckpoint", f"the file holds a {type(value).__name__} instead of a dict of tensors")
    wrapper = next((key for key in _WRAPPERS if isinstance(value.get(key), dict)), "")
    if not wrapper and value.keys() >= _SNAPSHOT:
        hint = "import the file that the trainer wrote to its weights folder instead"
        raise Problem("NotACheckpoint", f"this is a snapshot to resume a training; {hint}")
    tensors = value[wrapper] if wrapper else value
    if not tensors:
        raise Problem("NotACheckpoint", "the file holds no tensor")
    if len(tensors) > limits.tensors:
        raise Problem("OverLimit", f"the file holds {len(tensors)} tensors; at most {limits.tensors} are read")
    for name, tensor in tensors.items():
        if not isinstance(tensor, TensorView):
            raise Problem("NotACheckpoint", f"{shorten(name)!r} is a {type(tensor).__name__}, not a tensor")
    beside = {key: value[key] for key in KEPT_VALUES if key in value} if wrapper else {}
    return Contents(tensors, _Plain(limits).of(beside, 0), wrapper)


class _Plain:
    """Copies values that JSON knows; a shared value is copied and counted as often as it is reached."""

    def __init__(self, limits: Limits) -> None:
        self._limits = limits
        self._nodes = 0

    def of(self, value: Any, depth: int) -> Any:
        self._nodes += 1
        if depth > self._limits.depth:
            raise Problem("OverLimit", f"the config is nested more than {self._limits.depth} levels deep")
        if self._nodes > self._limits.nodes:
            raise Problem("OverLimit", f"the config has more than {self._limits.nodes} values")
        if isinstance(value, dict):
            return {key: self.of(item, depth + 1) for key, item in value.items()}
        if isinstance(value, list | tuple):
            return [self.of(item, depth + 1) for item in value]
        if isinstance(value, float) and not math.isfinite(value):
            raise Problem("NotACheckpoint", f"the config holds the number {value}")
        if type(value) not in _PLAIN:
            raise Problem("NotACheckpoint", f"the config holds a {type(value).__name__}")
        return value


def check_tensors(tensors: Mapping[str, TensorView], storage_bytes: Callable[[Storage], int], limits: Limits) -> int:
    """Compares what every tensor claims with the storages that are there.

    Args:
        tensors: as the pickle describes them.
        storage_bytes: how many bytes a storage really has.
        limits: bounds.

    Returns:
        Bytes of all tensors, laid out one after another.

    Raises:
        Problem: of kind BadTensor, naming the tensor.
    """
    total = 0
    for name, tensor in tensors.items():
        if not name or name == "__metadata__":  # the second is a word of safetensors
            raise Problem("NotACheckpoint", f"a tensor has the name {name!r}")
        total += _check(shorten(name, 200), tensor, storage_bytes(tensor.storage), limits)
    return total


def _check(name: str, tensor: TensorView, available_bytes: int, limits: Limits) -> int:
    storage, shape, strides = tensor.storage, tensor.shape, tensor.strides
    if len(shape) > limits.dimensions or len(shape) != len(strides):
        raise Problem("BadTensor", f"has {len(shape)} dimensions and {len(strides)} strides", name)
    if min((tensor.offset, storage.elements, *shape, *strides)) < 0:
        claim = f"shape {shape}, strides {strides}, offset {tensor.offset}"
        raise Problem("BadTensor", f"claims a negative size: {claim}", name)
    if storage.elements * storage.item_bytes != available_bytes:
        claim = f"{storage.elements} elements of {storage.item_bytes} bytes"
        raise Problem("BadTensor", f"its storage claims {claim}, and has {available_bytes} bytes", name)
    elements = math.prod(shape)
    if not elements and math.prod(max(size, 1) for size in shape) > _LONGEST_EMPTY:
        raise Problem("BadTensor", f"is empty, and claims the shape {shape}", name)
    reach = 1 + sum((size - 1) * stride for size, stride in zip(shape, strides, strict=True)) if elements else 0
    if tensor.offset + reach > storage.elements:
        claim = f"shape {shape} with strides {strides} from element {tensor.offset}"
        raise Problem("BadTensor", f"{claim} reaches beyond its storage of {storage.elements} elements", name)
    _refuse_overlap(name, tensor)
    return elements * storage.item_bytes


def _refuse_overlap(name: str, tensor: TensorView) -> None:
    """Two indices of one tensor must not meet in one element, or a byte could claim to be a gigabyte."""
    reach = 1
    for stride, size in sorted((s, n) for n, s in zip(tensor.shape, tensor.strides, strict=True) if n > 1):
        if stride < reach:
            claim = f"shape {tensor.shape} with strides {tensor.strides}"
            raise Problem("BadTensor", f"{claim} uses the same elements more than once", name)
        reach += (size - 1) * stride
