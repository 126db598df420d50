"""A cached value as bytes: safetensors that say which key they belong to, with a checksum over every byte.

Knows nothing of where the bytes are kept. The checksum finds what broke by itself (a torn write, a flipped bit, a
truncated answer) and the key what lies in a wrong place; neither stops somebody who may write to the store.
"""

import hashlib
import io
from collections.abc import Mapping
from typing import Final

from torch import Tensor

from voxswap_server.engine.conditioning.keys import FORMAT, Key
from voxswap_store.converted import Converted
from voxswap_store.safetensors_header import BadHeader, read_header
from voxswap_store.weights import read_weights, write_weights

Tensors = Mapping[str, Tensor]
"""A value: tensors by name, in host memory. Nobody changes them."""

MAX_ENTRY_BYTES: Final = 64 * 2**20
"""Nothing larger is kept outside of the process, nor read from there."""
_OPENING: Final = b'{"__metadata__":{"sha256":"'
_CHECKSUM: Final = slice(8 + len(_OPENING), 8 + len(_OPENING) + 64)
"""Where the checksum stands. It is worked out with zeros in its own place."""
_BLANK: Final = b"0" * 64


class BadEntry(ValueError):
    """The bytes are not the entry of this key; the message says what is wrong with them."""


def encode(key: Key, tensors: Tensors) -> bytes:
    """The entry of a value."""
    file = io.BytesIO()
    extra = {"sha256": _BLANK.decode(), "entry": f"voxswap {FORMAT}", "key": key.name}
    write_weights(file, Converted(tensors=dict(tensors), config={}), extra)
    data = bytearray(file.getbuffer())
    data[_CHECKSUM] = hashlib.sha256(data).hexdigest().encode()
    return bytes(data)


def decode(key: Key, data: bytes) -> Tensors:
    """The value of an entry.

    Raises:
        BadEntry: it is damaged, of another key, or no entry at all.
    """
    if data[8 : _CHECKSUM.start] != _OPENING:
        raise BadEntry("it does not begin like an entry")
    view, digest = memoryview(data), hashlib.sha256()
    for part in (view[: _CHECKSUM.start], _BLANK, view[_CHECKSUM.stop :]):
        digest.update(part)
    if digest.hexdigest().encode() != data[_CHECKSUM]:
        raise BadEntry("its checksum does not fit its bytes")
    try:
        file = io.BytesIO(data)
        said = read_header(file).metadata
        if said.get("entry") != f"voxswap {FORMAT}" or said.get("key") != key.name:
            raise BadEntry("it is the entry of another key")
        tensors = read_weights(file).tensors
    except BadHeader as error:
        raise BadEntry(f"it is no safetensors file: {error}") from error
    if tuple(sorted(tensors)) != key.tensors:
        raise BadEntry(f"it has other tensors than {', '.join(key.tensors)}")
    return tensors
