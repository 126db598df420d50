"""Tensors of a file in one block: where they lie, in which kind, and the block of one file filled with another."""

import io
import os
from unittest.mock import patch

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from voxswap_store import memory_layout
from voxswap_store.converted import Converted
from voxswap_store.memory_layout import Layout
from voxswap_store.safetensors_header import ALIGNMENT, BadHeader, read_header
from voxswap_store.weights import load_weights, read_again, read_weights, shape_of, write_weights

STORED = (torch.float16, torch.float32, torch.bfloat16, torch.int8)
IN_MEMORY = (None, torch.float32, torch.bfloat16)

tensors_to_read = st.lists(
    st.tuples(
        st.sampled_from(STORED),
        st.lists(st.sampled_from([0, 1, 3, 16, 64]), max_size=2).map(tuple),
        st.sampled_from(IN_MEMORY),
    ),
    min_size=1,
    max_size=12,
)


def file_of(kinds, seed, config=None):
    """Tensors of these kinds with other numbers for each seed, and the file of them."""
    noise = torch.Generator().manual_seed(seed)
    tensors = {
        f"t{number}": (8 * torch.randn(shape, generator=noise)).to(stored)
        for number, (stored, shape, _) in enumerate(kinds)
    }
    file = io.BytesIO()
    write_weights(file, Converted(tensors, config or {}))
    return tensors, file


def kind_of(kinds):
    return lambda name, stored: kinds[int(name[1:])][2] or stored


def require_equal(weights, tensors, kinds):
    for name, tensor in tensors.items():
        wanted = tensor.to(kind_of(kinds)(name, tensor.dtype))
        assert weights.tensors[name].dtype == wanted.dtype
        assert torch.equal(weights.tensors[name], wanted)


@settings(max_examples=60, deadline=None)
@given(kinds=tensors_to_read, buffer_bytes=st.sampled_from([8, 64, 1 << 18]))
def test_a_block_holds_what_was_written_and_then_what_another_file_says(kinds, buffer_bytes):
    (first, one), (second, other) = file_of(kinds, 1), file_of(kinds, 2)
    with patch.object(memory_layout, "_BUFFER_BYTES", buffer_bytes):
        weights = read_weights(one, dtype=kind_of(kinds))
        require_equal(weights, first, kinds)
        places = {name: tensor.data_ptr() for name, tensor in weights.tensors.items()}
        read_again(other, read_header(other), weights)
    require_equal(weights, second, kinds)
    assert {name: tensor.data_ptr() for name, tensor in weights.tensors.items()} == places


@settings(max_examples=60, deadline=None)
@given(kinds=tensors_to_read)
def test_a_block_has_no_holes_and_whole_lines_begin_on_lines(kinds):
    _, file = file_of(kinds, 1)
    weights = read_weights(file, dtype=kind_of(kinds))
    found = sorted((tensor.data_ptr(), tensor.nbytes) for tensor in weights.tensors.values() if tensor.nbytes)
    at = weights.block.data_ptr()
    for begin, size_bytes in found:
        assert begin == at
        at += size_bytes
    assert at == weights.block.data_ptr() + weights.block.nbytes
    if any(kind for _, _, kind in kinds):
        in_file = [tensor for tensor in weights.tensors.values() if tensor.nbytes and tensor.nbytes % ALIGNMENT == 0]
        assert all((tensor.data_ptr() - weights.block.data_ptr()) % ALIGNMENT == 0 for tensor in in_file)


def test_what_goes_the_same_way_lies_together():
    """So that many small tensors between large ones are converted as one."""
    kinds = [(torch.float32, (64,), None), (torch.float16, (64,), torch.float32)] * 3
    _, file = file_of(kinds, 1)
    layout = Layout(read_header(file), kind_of(kinds))
    assert list(layout.tensors(torch.empty(layout.size_bytes, dtype=torch.uint8))) == [
        "t0",
        "t2",
        "t4",
        "t1",
        "t3",
        "t5",
    ]


def test_files_have_the_same_shape_where_only_numbers_differ():
    kinds = [(torch.float16, (16, 3), None), (torch.float32, (3,), None)]
    wider = [(torch.float16, (16, 3), None), (torch.float32, (16,), None)]
    other = [(torch.bfloat16, (16, 3), None), (torch.float32, (3,), None)]
    files = [
        file_of(kinds, 1),
        file_of(kinds, 2),
        file_of(wider, 1),
        file_of(other, 1),
        file_of(kinds, 1, {"heads": 2}),
    ]
    shapes = [shape_of(read_header(file)) for _, file in files]
    assert shapes[0] == shapes[1]
    assert len(set(shapes)) == 4


@pytest.mark.parametrize(("most_rooms", "most_bytes"), [(1024, None), (1, None), (3, None), (1024, 5), (2, 130)])
def test_files_of_the_system_are_read_into_many_places_at_once(tmp_path, monkeypatch, most_rooms, most_bytes):
    kinds = [(torch.float16, (64, 16), None), (torch.float16, (64,), torch.float32), (torch.float16, (0,), None)] * 5
    tensors, written = file_of(kinds, 1)
    path, calls, readv = tmp_path / "file", [], os.readv
    path.write_bytes(written.getvalue())

    def sparing(descriptor, rooms):
        calls.append(len(rooms))
        return readv(descriptor, rooms if most_bytes is None else [rooms[0][:most_bytes]])

    monkeypatch.setattr(os, "readv", sparing)
    monkeypatch.setattr(memory_layout, "_MOST_ROOMS", most_rooms)
    weights = load_weights(path, dtype=kind_of(kinds))
    require_equal(weights, tensors, kinds)
    assert max(calls) == min(most_rooms, 10)
    if (most_rooms, most_bytes) == (1024, None):
        assert calls == [10]


def test_another_file_that_ends_too_soon_is_told():
    kinds = [(torch.float16, (64,), torch.float32)]
    (_, one), (_, other) = file_of(kinds, 1), file_of(kinds, 2)
    weights, header = read_weights(one, dtype=kind_of(kinds)), read_header(other)
    with pytest.raises(BadHeader, match="ended"):
        read_again(io.BytesIO(other.getvalue()[:-1]), header, weights)
