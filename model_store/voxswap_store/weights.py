"""Tensors on disk and in memory: one file, one read, one block.

Knows nothing of which network they belong to. A file is read from front to back into one preallocated block, and every
tensor is a view of it, so a voice is as many bytes as its file says, moves to a device in one copy and leaves in one.
"""

import hashlib
import json
import math
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path
from typing import Any, BinaryIO, Final

import torch
from torch import Tensor

from voxswap_store.blocks import Blocks, laid_out
from voxswap_store.converted import Converted
from voxswap_store.files import Sink
from voxswap_store.known_headers import KnownHeaders
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
_PIECE_BYTES: Final = 256 << 10
"""Of a tensor that is converted on the way."""


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
    path: Path,
    *,
    pin_memory: bool = False,
    blocks: Blocks | None = None,
    dtype: torch.dtype | None = None,
    headers: KnownHeaders | None = None,
) -> Weights:
    """Reads a file of the store.

    Args:
        path: the file.
        pin_memory: page-locked memory, from which a GPU copies by itself.
        blocks: where other memory comes from; None takes new memory.
        dtype: what all tensors become on the way, in memory that is not page-locked; None leaves them as they are.
        headers: those of files that were read before.

    Raises:
        BadHeader: the file is damaged.
        OSError: it cannot be read.
    """
    with path.open("rb", buffering=0) as file:
        header = headers.of(file) if headers else None
        return read_weights(file, pin_memory=pin_memory, blocks=blocks, dtype=dtype, header=header)


def read_weights(
    file: BinaryIO,
    *,
    pin_memory: bool = False,
    blocks: Blocks | None = None,
    dtype: torch.dtype | None = None,
    header: Header | None = None,
) -> Weights:
    """As `load_weights`, from an open file, of which the header may be known."""
    header = header or read_header(file)
    blocks = blocks or Blocks()
    file.seek(header.begin)
    config, digests = _json(header, _CONFIG), _json(header, _DIGESTS)
    if dtype and any(DTYPES[spec.dtype] != dtype for spec, _ in header.tensors.values()):
        return Weights(_read_converted(file, header, dtype, blocks), config, digests, torch.empty(0, dtype=torch.uint8))
    if pin_memory:
        block = torch.empty(header.size_bytes, dtype=torch.uint8, pin_memory=True)
    else:
        block = blocks.take(header.size_bytes)
    _fill(file, _raw(block))
    return Weights(_views(block, header), config, digests, block)


def _read_converted(file: BinaryIO, header: Header, dtype: torch.dtype, blocks: Blocks) -> dict[str, Tensor]:
    """From front to back: what has the dtype goes where it belongs, other tensors come through a small buffer.

    Neighbours are read as one, so the many small tensors of a network cost little more than their bytes.
    """
    neighbours = list(_neighbours(header))
    room, tensors = laid_out({spec.name: spec.shape for _, _, specs in neighbours for spec in specs}, dtype, blocks)
    target, buffer = _raw(room), torch.empty(_PIECE_BYTES, dtype=torch.uint8)  # the buffer stays in a core's cache
    raw = _raw(buffer)
    for stored, _, specs in neighbours:
        numbers = buffer.view(stored)
        for begin, end in _stretches(specs, tensors):
            if stored == dtype:
                _fill(file, target[begin * dtype.itemsize : end * dtype.itemsize])
                continue
            for start in range(begin, end, len(numbers)):
                stop = min(start + len(numbers), end)
                _fill(file, raw[: (stop - start) * stored.itemsize])
                room[start:stop].copy_(numbers[: stop - start])
    return tensors


def _stretches(specs: Iterable[TensorSpec], tensors: Mapping[str, Tensor]) -> Iterator[tuple[int, int]]:
    """Where tensors begin and end in their block, in elements; those that follow each other there are one."""
    begin = end = 0
    for spec in specs:
        tensor = tensors[spec.name]
        start = int(tensor.storage_offset())
        if start != end:
            if end > begin:
                yield begin, end
            begin = start
        end = start + tensor.numel()
    if end > begin:
        yield begin, end


def _neighbours(header: Header) -> Iterator[tuple[torch.dtype, int, list[TensorSpec]]]:
    """Tensors of one dtype that follow each other: it, at which byte behind the header they begin, and they."""
    in_order = sorted(header.tensors.values(), key=lambda pair: (pair[1], pair[0].size_bytes))
    for dtype, group in groupby(in_order, key=lambda pair: pair[0].dtype):
        pairs = list(group)
        yield DTYPES[dtype], pairs[0][1], [spec for spec, _ in pairs]


def _fill(file: BinaryIO, room: memoryview) -> None:
    """Reads as many bytes as there is room for."""
    while room:
        count = file.readinto(room)  # type: ignore[attr-defined]  # every binary file has it, BinaryIO forgot it
        if not count:
            raise BadHeader("the file ended while it was read")
        room = room[count:]


def _raw(tensor: Tensor) -> memoryview:
    """The memory of a contiguous tensor."""
    return tensor.view(torch.uint8).numpy().data


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


def _views(block: Tensor, header: Header) -> dict[str, Tensor]:
    """Every tensor, as a part of the block."""
    tensors: dict[str, Tensor] = {}
    for dtype, begin, specs in _neighbours(header):
        counts = [math.prod(spec.shape) for spec in specs]
        part = block[begin : begin + sum(counts) * dtype.itemsize]
        if begin % dtype.itemsize:  # a foreign file: safetensors promises no alignment
            part = part.clone()
        pieces = torch.split(part.view(dtype), counts)
        tensors |= {spec.name: piece.view(spec.shape) for spec, piece in zip(specs, pieces, strict=True)}
    return tensors


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
