"""Tells a file that was cut off from one that is whole, where its container says how long it is.

Knows nothing of codecs. Decoders read what is there and keep silent about the rest, so the question is asked before.
"""

import struct
from collections.abc import Callable, Mapping
from types import MappingProxyType

_UNKNOWN_BYTES = frozenset({0, 0xFFFFFFFF})
"""Lengths that stand for "not known when the header was written"."""
_CHUNK_HEADER_BYTES = 8
_OGG_HEADER_BYTES = 27
_OGG_PAGE = b"OggS\0"
"""With the version, so that a page is not seen where audio looks like one."""


def missing_bytes(data: bytes) -> int:
    """How many bytes the container announces beyond those that are there; 0 where it is whole or does not say."""
    measure = _MEASURES.get(data[:4])
    return max(0, measure(data) - len(data)) if measure else 0


def _chunk(length: struct.Struct) -> Callable[[bytes], int]:
    """IFF and RIFF: four letters, then the number of bytes that follow."""

    def measure(data: bytes) -> int:
        if len(data) < _CHUNK_HEADER_BYTES:
            return _CHUNK_HEADER_BYTES
        (size,) = length.unpack_from(data, 4)
        # Writers disagree on whether the last padding byte counts.
        return 0 if size in _UNKNOWN_BYTES else _CHUNK_HEADER_BYTES + size - size % 2

    return measure


def _ogg(data: bytes) -> int:
    """Ogg: the end of the last page, by its own table of segments."""
    start = data.rfind(_OGG_PAGE)
    table = start + _OGG_HEADER_BYTES
    if start < 0:
        return 0
    if table > len(data):
        return table
    segments = data[table - 1]
    return table + segments + sum(data[table : table + segments])


_MEASURES: Mapping[bytes, Callable[[bytes], int]] = MappingProxyType(
    {
        b"RIFF": _chunk(struct.Struct("<I")),
        b"RIFX": _chunk(struct.Struct(">I")),
        b"FORM": _chunk(struct.Struct(">I")),
        b"OggS": _ogg,
    }
)
