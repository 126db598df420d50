"""Tensors on disk and in memory: one file, one read, one block.

Knows nothing of which network they belong to. A file is read from front to back into one preallocated block, and every
tensor is a view of it (see `memory_layout`), so a voice moves to a device in one copy and leaves in one.
"""

import hashlib
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO, Final

import torch
from torch import Tensor

from voxswap_store.blocks import Blocks
from voxswap_store.converted import Converted
from voxswap_store.files import Sink
from voxswap_store.known_headers import KnownHeaders
from voxswap_store.memory_layout import DTYPES, Kinds, Layout, raw_bytes
from voxswap_store.safetensors_header import BadHeader, Header, TensorSpec, encode_header, load_order, read_header

_NAMES: Final = {dtype: name for name, dtype in DTYPES.items()}
_CONFIG: Final = "config"
_DIGESTS: Final = "digests"


@dataclass(frozen=True)
class Weights:
    """A file in memory."""

    tensors: dict[str, Tensor]
    """Views of `block`."""
    config: dict[str, Any]
    """What the network must know to adopt them; {} where the file has none."""
    digests: dict[str, str]
    """Content address of each tensor: equal ones may share their memory."""
    block: Tensor
    """(bytes,) uint8: everything."""
    layout: Layout
    """How it lies there."""


def load_weights(
    path: Path,
    *,
    pin_memory: bool = False,
    blocks: Blocks | None = None,
    dtype: torch.dtype | Kinds | None = None,
    headers: KnownHeaders | None = None,
) -> Weights:
    """Reads a file of the store.

    Args:
        path: the file.
        pin_memory: page-locked memory, from which a GPU copies by itself.
        blocks: where other memory comes from; None takes new memory.
        dtype: what all tensors become on the way, or what each does; None leaves them as they are.
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
    dtype: torch.dtype | Kinds | None = None,
    header: Header | None = None,
) -> Weights:
    """As `load_weights`, from an open file, of which the header may be known."""
    header = header or read_header(file)
    config, digests = _json(header, _CONFIG), _json(header, _DIGESTS)
    layout = Layout(header, (lambda _name, _stored: dtype) if isinstance(dtype, torch.dtype) else dtype)
    if pin_memory:
        block = torch.empty(layout.size_bytes, dtype=torch.uint8, pin_memory=True)
    else:
        block = (blocks or Blocks()).take(layout.size_bytes)
    tensors = layout.tensors(block)
    layout.fill(file, header, block)
    return Weights(tensors, config, digests, block, layout)


def shape_of(header: Header) -> tuple[str, str]:
    """What files have in common whose networks differ in nothing but their numbers: layout and config."""
    return header.layout, header.metadata.get(_CONFIG, "")


def read_again(file: BinaryIO, header: Header, weights: Weights) -> None:
    """Reads another file into the memory of these: every tensor of theirs, wherever it is used, is the other's then.

    Args:
        file: open.
        header: its own, of the same layout as that of the file that they came from.
        weights: which nobody computes with. If this raises, they are half of one file and half of another.

    Raises:
        BadHeader: the file ended too soon.
        OSError: it cannot be read.
    """
    weights.layout.fill(file, header, weights.block)


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
        file.write(raw_bytes(prepared[spec.name]))


def _json(header: Header, key: str) -> dict[str, Any]:
    try:
        value = json.loads(header.metadata.get(key, "{}"))
    except ValueError as error:
        raise BadHeader(f"the header's {key} cannot be read: {error}") from None
    if not isinstance(value, dict):
        raise BadHeader(f"the header's {key} is no table")
    return value


def _digest(spec: TensorSpec, tensor: Tensor) -> str:
    """First half of the sha256 over dtype, shape and values: 128 bits are enough against chance."""
    digest = hashlib.sha256(f"{spec.dtype}{spec.shape}".encode())
    digest.update(raw_bytes(tensor))
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
