"""Entries: what goes in comes out to the bit, and nothing but that ever comes out."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors.torch import save

from tests.fixtures.cache_layers import key, same, value
from voxswap_server.engine.conditioning import Tensors
from voxswap_server.engine.conditioning.entry import BadEntry, decode, encode

DTYPES = (torch.float32, torch.float16, torch.bfloat16, torch.int64)


@st.composite
def values(draw: st.DrawFn) -> Tensors:
    """Any bits at all, NaNs with payloads and negative zeros among them."""
    names = draw(st.lists(st.sampled_from(["tokens", "speaker", "mel", "features"]), min_size=1, unique=True))
    tensors = {}
    for name in names:
        dtype = draw(st.sampled_from(DTYPES))
        shape = draw(st.lists(st.integers(0, 4), max_size=3))
        size = torch.Size(shape).numel() * dtype.itemsize
        data = draw(st.binary(min_size=size, max_size=size))
        flat = torch.frombuffer(bytearray(data), dtype=torch.uint8) if data else torch.empty(0, dtype=torch.uint8)
        tensors[name] = flat.clone().view(dtype).view(shape)
    return tensors


@given(values())
def test_a_value_survives_to_the_bit(tensors: Tensors) -> None:
    one = key(tensors=tuple(tensors))
    assert same(decode(one, encode(one, tensors)), tensors)


@given(values(), st.data())
def test_no_byte_may_differ(tensors: Tensors, data: st.DataObject) -> None:
    one = key(tensors=tuple(tensors))
    entry = bytearray(encode(one, tensors))
    at = data.draw(st.integers(0, len(entry) - 1))
    entry[at] ^= data.draw(st.integers(1, 255))
    with pytest.raises(BadEntry):
        decode(one, bytes(entry))


def test_every_single_byte_is_covered() -> None:
    """What the property above samples, in full for one entry: the padding of the header and the checksum included."""
    entry = encode(key(), value())
    for at in range(len(entry)):
        broken = bytearray(entry)
        broken[at] ^= 0x20  # turns a letter into the other case, and a space into nothing
        with pytest.raises(BadEntry):
            decode(key(), bytes(broken))


@given(values(), st.data())
def test_no_byte_may_be_missing_or_added(tensors: Tensors, data: st.DataObject) -> None:
    one = key(tensors=tuple(tensors))
    entry = encode(one, tensors)
    with pytest.raises(BadEntry):
        decode(one, entry[: data.draw(st.integers(0, len(entry) - 1))])
    with pytest.raises(BadEntry):
        decode(one, entry + data.draw(st.binary(min_size=1, max_size=9)))


@given(st.binary(max_size=300))
@settings(max_examples=200)
def test_foreign_bytes_are_no_entry(data: bytes) -> None:
    with pytest.raises(BadEntry):
        decode(key(), data)


def test_an_entry_belongs_to_one_key() -> None:
    entry = encode(key(1), value())
    for other in (key(2), key(1, "spectrum"), key(1, tensors=("speaker",))):
        with pytest.raises(BadEntry, match="another key"):
            decode(other, entry)


def test_an_entry_has_the_tensors_that_its_key_promises() -> None:
    one = key(tensors=("speaker", "mel", "features"))
    whole = {name: torch.zeros(2) for name in one.tensors}
    assert same(decode(one, encode(one, whole)), whole)
    for wrong in ({}, {"speaker": torch.zeros(2)}, whole | {"extra": torch.zeros(2)}):
        with pytest.raises(BadEntry, match="other tensors than features, mel, speaker"):
            decode(one, encode(one, wrong))


def test_other_safetensors_files_are_no_entries() -> None:
    with pytest.raises(BadEntry, match="begin"):
        decode(key(), save(dict(value()), {"key": key().name}))


def test_the_result_shares_nothing_with_the_bytes_it_was_read_from() -> None:
    entry = bytearray(encode(key(), value(7)))
    tensors = decode(key(), bytes(entry))
    entry[:] = bytes(len(entry))
    assert tensors["tokens"].tolist() == [7] * 4


def test_tensors_need_not_be_contiguous() -> None:
    spectrum = torch.randn(5, 3).T
    one = key(tensors=("spectrum",))
    again = decode(one, encode(one, {"spectrum": spectrum}))["spectrum"]
    assert again.is_contiguous()
    assert again.equal(spectrum)
