"""Tensors on disk and in memory: one file, one read, one block.

Knows nothing of which network they belong to. A file is read from front to back into one preallocated block, and every
tensor is a view of it, so a voice is as many bytes as its file says, moves to a device in one copy and leaves in one.
"""

import hashlib
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO, Final

import torch
from torch import Tensor

from voxswap_store.blocks import Blocks, views
from voxswap_store.converted import Converted
from voxswap_store.files import Sink
from voxswap_store.safetensors_header import BadHeader, Header, TensorSpec, encode_header, load_order, read_header

DTYPES: Final[Mapping[str, torch.dtype]] = {
    "F64": torch.float64,
    "I64": torch.int64,
    "F32": torch.float32,
    "I32": torch.int32,
    "F16": torch.float16,
    "BF16": torch.bfloat16,
    "I16": torch.int16,
    "I8": torch.int8,
    "U8": torch.uint8,
    "BOOL": torch.bool,
}
_NAMES: Final = {dtype: name for name, dtype in DTYPES.items()}
_CONFIG: Final = "config"
_DIGESTS: Final = "digests"


@dataclass(frozen=True)
class Weights:
    """A file in memory."""

    tensors: dict[str, Tensor]
    """Views of `block`, in the order of the file."""
    config: dict[str, Any]
    """What the network must know to adopt them; {} where the file has none."""
    digests: dict[str, str]
    """Content address of each tensor: equal ones may share their memory."""
    block: Tensor
    """(bytes,) uint8: everything; nothing where the tensors were converted."""


def load_weights(
    path: Path, *, pin_memory: bool = False, blocks: Blocks | None = None, dtype: torch.dtype | None = None
) -> Weights:
    """Reads a file of the store.

    Args:
        path: the file.
        pin_memory: page-locked memory, from which a GPU copies by itself.
        blocks: where other memory comes from; None takes new memory.
        dtype: what all tensors become on the way, in memory that is not page-locked; None leaves them as they are.

    Raises:
        BadHeader: the file is damaged.
        OSError: it cannot be read.
    """
    with path.open("rb", buffering=0) as file:
        return read_weights(file, pin_memory=pin_memory, blocks=blocks, dtype=dtype)


def read_weights(
    file: BinaryIO, *, pin_memory: bool = False, blocks: Blocks | None = None, dtype: torch.dtype | None = None
) -> Weights:
    """As `load_weights`, from an open file."""
    header = read_header(file)
    blocks = blocks or Blocks()
    file.seek(header.begin)
    if dtype and any(DTYPES[spec.dtype] != dtype for spec, _ in header.tensors.values()):
        tensors = _read_converted(file, header, dtype, blocks)
        return Weights(tensors, _json(header, _CONFIG), _json(header, _DIGESTS), torch.empty(0, dtype=torch.uint8))
    if pin_memory:
        block = torch.empty(header.size_bytes, dtype=torch.uint8, pin_memory=True)
    else:
        block = blocks.take(header.size_bytes)
    _fill(file, block)
    tensors = {name: _view(block, spec, begin) for name, (spec, begin) in header.tensors.items()}
    return Weights(tensors, _json(header, _CONFIG), _json(header, _DIGESTS), block)


def _read_converted(file: BinaryIO, header: Header, dtype: torch.dtype, blocks: Blocks) -> dict[str, Tensor]:
    """One tensor after another through a buffer that stays in the processor's cache."""
    in_order = sorted(header.tensors.values(), key=lambda pair: pair[1])
    tensors = views({spec.name: spec.shape for spec, _ in in_order}, dtype, blocks)
    buffer = torch.empty(max((spec.size_bytes for spec, _ in in_order), default=0), dtype=torch.uint8)
    for spec, _ in in_order:
        raw = buffer[: spec.size_bytes]
        _fill(file, raw)
        tensors[spec.name].copy_(raw.view(DTYPES[spec.dtype]).view(spec.shape))
    return tensors


def _fill(file: BinaryIO, target: Tensor) -> None:
    """Reads as many bytes as there is room for."""
    room = target.numpy().data
    while room:
        count = file.readinto(room)  # type: ignore[attr-defined]  # every binary file has it, BinaryIO forgot it
        if not count:
            raise BadHeader("the file ended while it was read")
        room = room[count:]


def write_weights(file: Sink, converted: Converted, extra: Mapping[str, str] | None = None) -> None:
    """Writes tensors in their order, with the config and the content address of each in the header.

    Args:
        file: anything that can be written to.
        converted: what to write; tensors may be on any device and need not be contiguous.
        extra: more words for the header's metadata.
    """
    prepared = {name: tensor.detach().cpu().contiguous() for name, tensor in converted.tensors.items()}
    specs = load_order(TensorSpec(name, _NAMES[t.dtype], tuple(t.shape)) for name, t in prepared.items())
    digests = {spec.name: _digest(spec, prepared[spec.name]) for spec in specs}
    metadata = {
        **(extra or {}),
        _CONFIG: json.dumps(converted.config, allow_nan=False),
        _DIGESTS: json.dumps(digests, separators=(",", ":")),
    }
    file.write(encode_header(specs, metadata))
    for spec in specs:
        file.write(_bytes(prepared[spec.name]))


def _view(block: Tensor, spec: TensorSpec, begin: int) -> Tensor:
    dtype = DTYPES[spec.dtype]
    part = block[begin : begin + spec.size_bytes]
    if begin % dtype.itemsize:  # a foreign file: safetensors promises no alignment
        part = part.clone()
    return part.view(dtype).view(spec.shape)


def _json(header: Header, key: str) -> dict[str, Any]:
    try:
        value = json.loads(header.metadata.get(key, "{}"))
    except ValueError as error:
        raise BadHeader(f"the header's {key} cannot be read: {error}") from None
    if not isinstance(value, dict):
        raise BadHeader(f"the header's {key} is no table")
    return value


def _bytes(tensor: Tensor) -> memoryview:
    return tensor.reshape(-1).view(torch.uint8).numpy().data


def _digest(spec: TensorSpec, tensor: Tensor) -> str:
    """First half of the sha256 over dtype, shape and values: 128 bits are enough against chance."""
    digest = hashlib.sha256(f"{spec.dtype}{spec.shape}".encode())
    digest.update(_bytes(tensor))
    return digest.hexdigest()[:32]


def damaged(weights: Weights) -> list[str]:
    """Names of the tensors whose bytes are not those that were written, in a file of `write_weights`."""
    return [
        name
        for name, tensor in weights.tensors.items()
        if weights.digests.get(name) != _digest(TensorSpec(name, _NAMES[tensor.dtype], tuple(tensor.shape)), tensor)
    ]


def non_finite(tensors: Mapping[str, Tensor]) -> Iterator[str]:
    """Names of the tensors that hold NaN or an infinity."""
    for name, tensor in tensors.items():
        if tensor.is_floating_point() and not bool(torch.isfinite(tensor).all()):
            yield name
