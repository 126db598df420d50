"""Headers of safetensors files: the library reads what we write, and we refuse what does not fit its file."""

import io
import json
import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st
from safetensors import deserialize

from voxswap_store.safetensors_header import (
    ALIGNMENT,
    ITEM_BYTES,
    BadHeader,
    TensorSpec,
    encode_header,
    load_order,
    read_header,
)

shapes = st.lists(st.integers(0, 9), max_size=3).map(tuple)
specs = st.lists(
    st.tuples(
        st.text(min_size=1, max_size=8).filter(lambda n: n != "__metadata__"), st.sampled_from(list(ITEM_BYTES)), shapes
    ),
    max_size=8,
    unique_by=lambda spec: spec[0],
).map(lambda rows: [TensorSpec(*row) for row in rows])


def whole(tensors, metadata=None):
    return encode_header(tensors, metadata or {}) + bytes(sum(spec.size_bytes for spec in tensors))


@given(specs, st.dictionaries(st.text(max_size=5), st.text(max_size=9), max_size=3))
def test_what_is_written_is_read_by_us_and_by_the_library(tensors, metadata):
    data = whole(tensors, metadata)
    header = read_header(io.BytesIO(data))
    assert [spec for spec, _ in header.tensors.values()] == tensors
    assert header.metadata == metadata
    assert header.begin % ALIGNMENT == 0
    assert header.size_bytes == len(data) - header.begin
    assert {name: tuple(t["shape"]) for name, t in deserialize(data)} == {spec.name: spec.shape for spec in tensors}


@given(specs)
def test_the_load_order_aligns_whatever_it_can(tensors):
    ordered = load_order(tensors)
    assert sorted(ordered, key=repr) == sorted(tensors, key=repr)
    header = read_header(io.BytesIO(whole(ordered)))
    for spec, begin in header.tensors.values():
        assert begin % ITEM_BYTES[spec.dtype] == 0
        if spec.size_bytes % ALIGNMENT == 0 and spec.size_bytes:
            assert begin % ALIGNMENT == 0
    full = [spec for spec in tensors if spec.size_bytes % ALIGNMENT == 0]
    assert ordered[: len(full)] == full


def forged(entries, tail=b"", *, length=None):
    text = entries if isinstance(entries, bytes) else json.dumps(entries).encode()
    return struct.pack("<Q", len(text) if length is None else length) + text + tail


def one(dtype="F32", shape=(2,), offsets=(0, 8)):
    return {"w": {"dtype": dtype, "shape": list(shape), "data_offsets": list(offsets)}}


@pytest.mark.parametrize(
    ("data", "told"),
    [
        (b"", "does not fit"),
        (b"\x01\x00", "does not fit"),
        (forged({}, length=1 << 40), "does not fit"),
        (forged(b"{broken"), "cannot be read"),
        (forged(b"[]"), "cannot be read"),
        (forged(b"[" * 5000 + b"]" * 5000), "cannot be read"),
        (forged({"w": 1}), "cannot be read"),
        (forged({"w": {"dtype": "F32"}}), "cannot be read"),
        (forged(one(dtype="F99"), bytes(8)), "cannot be read"),
        (forged(one(), bytes(7)), "7 bytes of tensors"),
        (forged(one(), bytes(9)), "9 bytes of tensors"),
        (forged(one(offsets=(0, 4)), bytes(4)), "its shape needs 8"),
        (forged(one(offsets=(4, 12)), bytes(12)), "begins at byte 4"),
        (forged(one(shape=(-2,), offsets=(0, -8))), "no size"),
        (forged({**one(), "v": one()["w"]}, bytes(16)), "begins at byte 0 instead of 8"),
    ],
)
def test_headers_that_lie_are_refused(data, told):
    with pytest.raises(BadHeader, match=told):
        read_header(io.BytesIO(data))
