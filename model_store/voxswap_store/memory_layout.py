"""Where the tensors of a file lie in one block of memory, and how the file's bytes get there.

Knows nothing of where memory comes from. Files with equal headers have equal layouts, so the block of one can be filled
with another. What has the wanted dtype is read where it belongs; the rest comes through a small buffer that stays in a
core's cache, many small tensors at a time.
"""

import io
import math
import os
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import BinaryIO, Final

import torch
from torch import Tensor

from voxswap_store.safetensors_header import ALIGNMENT, BadHeader, Header, TensorSpec

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
Kinds = Callable[[str, torch.dtype], torch.dtype]
"""From the name of a tensor and the dtype that it is stored in to the one that it has in memory."""
_BUFFER_BYTES: Final = 256 << 10
_MOST_ROOMS: Final = 1024
"""That one call of the system fills."""


@dataclass(slots=True)
class _Stretch:
    """Tensors that follow each other in the file and in memory, and become the same dtype."""

    stored: torch.dtype
    dtype: torch.dtype
    begin: int
    """Byte of the block."""
    end: int

    @property
    def as_stored(self) -> bool:
        return self.stored == self.dtype


@dataclass(frozen=True, slots=True)
class _Tensor:
    """One tensor on its way."""

    spec: TensorSpec
    stored: torch.dtype
    dtype: torch.dtype

    @property
    def size_bytes(self) -> int:
        """In memory."""
        return math.prod(self.spec.shape) * self.dtype.itemsize


class Layout:
    """Of the tensors of one file. Immutable.

    Where all keep their dtype they lie as in the file. Otherwise those that go the same way lie together, in the order
    of the file; there are no holes, and those of odd lengths come last, so that all others begin on a cache line.

    Args:
        header: of the file.
        kinds: which dtype each tensor has in memory; None: its own.
    """

    def __init__(self, header: Header, kinds: Kinds | None = None) -> None:
        in_file = sorted(header.tensors.values(), key=lambda pair: (pair[1], pair[0].size_bytes))
        tensors = [_on_its_way(spec, kinds) for spec, _ in in_file]
        as_stored = all(
            tensor.dtype == tensor.stored and begin % tensor.stored.itemsize == 0  # safetensors promises no alignment
            for tensor, (_, begin) in zip(tensors, in_file, strict=True)
        )
        self.size_bytes = 0
        self._places: dict[str, tuple[int, _Tensor]] = {}
        for tensor in tensors if as_stored else _arranged(tensors):
            self._places[tensor.spec.name] = self.size_bytes, tensor
            self.size_bytes += tensor.size_bytes
        bytes_only = _Stretch(torch.uint8, torch.uint8, 0, self.size_bytes)
        self._stretches = [bytes_only] if as_stored else self._joined(tensors)

    def tensors(self, block: Tensor) -> dict[str, Tensor]:
        """Every tensor, as a part of a block (size_bytes,) uint8."""
        return {name: _view(block, begin, tensor) for name, (begin, tensor) in self._places.items()}

    def fill(self, file: BinaryIO, header: Header, block: Tensor) -> None:
        """Reads a file into a block.

        Args:
            file: open.
            header: its own; its layout is this one.
            block: (size_bytes,) uint8.

        Raises:
            BadHeader: the file ended too soon.
            OSError: it cannot be read.
        """
        file.seek(header.begin)
        passage = _Passage(file, block)
        for stretch in self._stretches:
            if stretch.as_stored:
                passage.straight(stretch)
            else:
                passage.converted(stretch)
        passage.finish()

    def _joined(self, tensors: list[_Tensor]) -> list[_Stretch]:
        """What is read one after the other."""
        found: list[_Stretch] = []
        for tensor in tensors:
            begin, _ = self._places[tensor.spec.name]
            way = tensor.stored, tensor.dtype
            if found and (found[-1].stored, found[-1].dtype, found[-1].end) == (*way, begin):
                found[-1].end += tensor.size_bytes
            elif tensor.size_bytes:
                found.append(_Stretch(*way, begin, begin + tensor.size_bytes))
        return found


class _Passage:
    """A file on its way into a block: as few calls of the system as there are fillings of the buffer.

    Args:
        file: at the first byte of the first stretch; stretches are given in its order.
        block: where they belong.
    """

    def __init__(self, file: BinaryIO, block: Tensor) -> None:
        self._file = file
        self._block, self._room = block, raw_bytes(block)
        self._buffer = torch.empty(_BUFFER_BYTES, dtype=torch.uint8)
        self._raw_buffer = raw_bytes(self._buffer)
        self._used = 0
        self._rooms: list[memoryview] = []
        """Where the next bytes of the file go, in its order."""
        self._waiting: list[_Stretch] = []
        """What the buffer will hold, in its order; all go the same way."""

    def straight(self, stretch: _Stretch) -> None:
        """Bytes that are read where they belong."""
        self._rooms.append(self._room[stretch.begin : stretch.end])

    def converted(self, stretch: _Stretch) -> None:
        """Numbers that go through the buffer."""
        if self._waiting and (self._waiting[0].stored, self._waiting[0].dtype) != (stretch.stored, stretch.dtype):
            self.finish()
        begin, wide, narrow = stretch.begin, stretch.dtype.itemsize, stretch.stored.itemsize
        while begin < stretch.end:
            count = min((stretch.end - begin) // wide, (_BUFFER_BYTES - self._used) // narrow)
            if not count:
                self.finish()
                continue
            used, end = self._used + count * narrow, begin + count * wide
            self._rooms.append(self._raw_buffer[self._used : used])
            if self._waiting and self._waiting[-1].end == begin:
                self._waiting[-1].end = end
            else:
                self._waiting.append(_Stretch(stretch.stored, stretch.dtype, begin, end))
            begin, self._used = end, used

    def finish(self) -> None:
        """Reads all that was asked for, and puts what the buffer holds then where it belongs."""
        _read(self._file, self._rooms)
        at = 0
        for part in self._waiting:
            stop = at + (part.end - part.begin) // part.dtype.itemsize * part.stored.itemsize
            numbers = self._buffer[at:stop].view(part.stored)
            self._block[part.begin : part.end].view(part.dtype).copy_(numbers)
            at = stop
        self._rooms, self._waiting, self._used = [], [], 0


def _on_its_way(spec: TensorSpec, kinds: Kinds | None) -> _Tensor:
    stored = DTYPES[spec.dtype]
    return _Tensor(spec, stored, kinds(spec.name, stored) if kinds else stored)


def _arranged(tensors: list[_Tensor]) -> list[_Tensor]:
    """In the order in which they lie in memory."""
    ways: dict[tuple[torch.dtype, torch.dtype], int] = {}
    for tensor in tensors:
        ways.setdefault((tensor.stored, tensor.dtype), len(ways))

    def key(tensor: _Tensor) -> tuple[bool, int, int]:
        ragged = tensor.size_bytes % ALIGNMENT != 0
        return ragged, -tensor.dtype.itemsize if ragged else 0, ways[tensor.stored, tensor.dtype]

    return sorted(tensors, key=key)


def _view(block: Tensor, begin: int, tensor: _Tensor) -> Tensor:
    return block[begin : begin + tensor.size_bytes].view(tensor.dtype).view(tensor.spec.shape)


def _read(file: BinaryIO, rooms: Iterable[memoryview]) -> None:
    """As many bytes as there is room for, one room after the other."""
    left = [room for room in rooms if room]
    while left:
        if isinstance(file, io.FileIO) and hasattr(os, "readv"):  # not on Windows
            count = os.readv(file.fileno(), left[:_MOST_ROOMS])
        else:
            count = file.readinto(left[0])  # type: ignore[attr-defined]  # every binary file has it, BinaryIO forgot it
        if not count:
            raise BadHeader("the file ended while it was read")
        while left and count >= len(left[0]):
            count -= len(left.pop(0))
        if count:
            left[0] = left[0][count:]


def raw_bytes(tensor: Tensor) -> memoryview:
    """The memory of a contiguous tensor."""
    return tensor.reshape(-1).view(torch.uint8).numpy().data
