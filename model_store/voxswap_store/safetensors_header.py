"""The header of a safetensors file, written in an order of our choice and read without its tensors.

Knows nothing of torch: the child that reads checkpoints uses it, and so does whoever needs sizes before loading. The
safetensors library sorts tensors by name when it writes; the order here is the caller's, which makes one sequential
read out of loading a network.
"""

import hashlib
import json
import math
import struct
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any, BinaryIO

ALIGNMENT = 64
"""Bytes: the tensors start on a cache line, and so does every tensor whose length allows it."""
MAX_HEADER_BYTES = 32 << 20
ITEM_BYTES: Mapping[str, int] = {
    "F64": 8,
    "I64": 8,
    "F32": 4,
    "I32": 4,
    "F16": 2,
    "BF16": 2,
    "I16": 2,
    "I8": 1,
    "U8": 1,
    "BOOL": 1,
}
_LENGTH = struct.Struct("<Q")


class BadHeader(ValueError):
    """The bytes are not a safetensors header that fits its file."""


@dataclass(frozen=True, slots=True)
class TensorSpec:
    """One tensor, without its values."""

    name: str
    dtype: str
    """As safetensors spells it: F16, F32, I64, ..."""
    shape: tuple[int, ...]

    @property
    def size_bytes(self) -> int:
        return math.prod(self.shape) * ITEM_BYTES[self.dtype]


@dataclass(frozen=True)
class Header:
    """What a safetensors file says of itself."""

    tensors: Mapping[str, tuple[TensorSpec, int]]
    """By name: the tensor, and at which byte after the header it begins."""
    metadata: Mapping[str, str]
    begin: int
    """Byte of the file at which the tensors begin."""

    @cached_property
    def size_bytes(self) -> int:
        """Bytes of all tensors."""
        return sum(spec.size_bytes for spec, _ in self.tensors.values())

    @cached_property
    def layout(self) -> str:
        """Equal for files that hold tensors of the same names, kinds and shapes at the same places."""
        places = sorted((begin, spec.name, spec.dtype, spec.shape) for spec, begin in self.tensors.values())
        return hashlib.sha256(repr(places).encode()).hexdigest()


def load_order(specs: Iterable[TensorSpec]) -> list[TensorSpec]:
    """The same tensors in an order that keeps every one aligned without holes, which safetensors does not allow.

    Tensors whose length is a multiple of a cache line keep their order; the few others follow, wide elements first.
    """
    whole: list[TensorSpec] = []
    ragged: list[TensorSpec] = []
    for spec in specs:
        (ragged if spec.size_bytes % ALIGNMENT else whole).append(spec)
    return whole + sorted(ragged, key=lambda spec: -ITEM_BYTES[spec.dtype])


def encode_header(specs: Iterable[TensorSpec], metadata: Mapping[str, str]) -> bytes:
    """The first bytes of the file; the tensors follow in exactly this order."""
    entries: dict[str, Any] = {"__metadata__": dict(metadata)} if metadata else {}
    at = 0
    for spec in specs:
        end = at + spec.size_bytes
        entries[spec.name] = {"dtype": spec.dtype, "shape": list(spec.shape), "data_offsets": [at, end]}
        at = end
    text = json.dumps(entries, separators=(",", ":"), ensure_ascii=False).encode()
    text += b" " * (-(len(text) + _LENGTH.size) % ALIGNMENT)
    return _LENGTH.pack(len(text)) + text


def read_header(file: BinaryIO) -> Header:
    """Reads the header at the start of an open file.

    Raises:
        BadHeader: it is malformed, or the file does not have exactly the bytes that it promises.
    """
    size = file.seek(0, 2)
    file.seek(0)
    start = file.read(_LENGTH.size)
    length = _LENGTH.unpack(start)[0] if len(start) == _LENGTH.size else 0
    if not 2 <= length <= min(MAX_HEADER_BYTES, size - _LENGTH.size):
        raise BadHeader(f"the header of {length} bytes does not fit a file of {size}")
    try:
        entries = json.loads(file.read(length))
        metadata = entries.pop("__metadata__", {})
        tensors = {name: _entry(name, entry) for name, entry in entries.items()}
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise BadHeader(f"the header cannot be read: {error}") from None
    header = Header(tensors, metadata, _LENGTH.size + length)
    _require_no_holes(header, size - header.begin)
    return header


def _entry(name: str, entry: Mapping[str, Any]) -> tuple[TensorSpec, int]:
    shape = tuple(entry["shape"])
    begin, end = entry["data_offsets"]
    if not all(type(n) is int and n >= 0 for n in (*shape, begin, end)):
        raise BadHeader(f"tensor {name!r} has a size that is no size")
    spec = TensorSpec(name, entry["dtype"], shape)
    if spec.size_bytes != end - begin:
        raise BadHeader(f"tensor {name!r} has {end - begin} bytes, its shape needs {spec.size_bytes}")
    return spec, begin


def _require_no_holes(header: Header, available_bytes: int) -> None:
    at = 0
    for spec, begin in sorted(header.tensors.values(), key=lambda pair: (pair[1], pair[0].size_bytes)):
        if begin != at:
            raise BadHeader(f"tensor {spec.name!r} begins at byte {begin} instead of {at}")
        at += spec.size_bytes
    if at != available_bytes:
        raise BadHeader(f"the file has {available_bytes} bytes of tensors, its header describes {at}")
