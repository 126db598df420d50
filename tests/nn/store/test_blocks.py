"""Memory of voices: large stretches that are used again, and never while anybody still looks at them."""

import gc

import pytest
import torch

from voxswap_store.blocks import LARGE_BYTES, Blocks, converted, laid_out, views

SIZE = LARGE_BYTES + 4096


def test_what_nobody_uses_is_used_again():
    blocks = Blocks(keep_bytes=SIZE)
    first = blocks.take(SIZE)
    place = first.data_ptr()
    part = first[100:200].view(torch.int32)
    del first
    assert blocks.spare_bytes == 0  # a view keeps all of it
    del part
    assert blocks.spare_bytes == SIZE
    again = blocks.take(SIZE - 1000)
    assert (again.data_ptr(), again.numel(), blocks.spare_bytes) == (place, SIZE - 1000, 0)


def test_a_stretch_that_is_far_too_long_stays_where_it_is():
    blocks = Blocks(keep_bytes=2 * SIZE)
    long = blocks.take(2 * SIZE)
    del long
    short = blocks.take(SIZE)
    assert blocks.spare_bytes == 2 * SIZE
    assert short.numel() == SIZE


def test_no_more_is_kept_than_allowed():
    blocks = Blocks(keep_bytes=2 * SIZE)
    taken = [blocks.take(SIZE) for _ in range(4)]
    del taken
    assert blocks.spare_bytes == 2 * SIZE
    nothing = Blocks()
    nothing.take(SIZE).fill_(1)
    assert nothing.spare_bytes == 0


def test_what_is_kept_may_be_given_back():
    blocks = Blocks(keep_bytes=SIZE)
    blocks.take(SIZE).fill_(1)
    assert blocks.spare_bytes == SIZE
    blocks.clear()
    assert blocks.spare_bytes == 0


def test_what_is_lent_is_known_until_it_comes_back():
    blocks = Blocks(keep_bytes=SIZE)
    taken, small = blocks.take(SIZE), blocks.take(64)
    place = taken.data_ptr()
    assert blocks.is_lent(place)
    assert not blocks.is_lent(place + 64)
    assert not blocks.is_lent(small.data_ptr())
    del taken
    assert not blocks.is_lent(place)


def test_a_block_and_its_views_in_the_order_in_which_they_lie():
    room, tensors = laid_out({"odd": (5,), "a": (2, 16), "b": (16,)}, torch.float32, Blocks())
    room.copy_(torch.arange(53))
    assert list(tensors) == ["a", "b", "odd"]
    assert torch.cat([tensor.flatten() for tensor in tensors.values()]).equal(torch.arange(53.0))


def test_neighbours_do_not_share_memory():
    blocks = Blocks(keep_bytes=4 * SIZE)
    one, other = blocks.take(SIZE).fill_(1), blocks.take(SIZE).fill_(2)
    assert (int(one.min()), int(one.max()), int(other.min())) == (1, 1, 2)


def test_memory_outlives_whoever_gave_it_out():
    tensor = Blocks(keep_bytes=SIZE).take(SIZE).fill_(7)
    gc.collect()
    assert int(tensor.sum(dtype=torch.int64)) == 7 * SIZE


@pytest.mark.parametrize("size", [0, 1, 1000])
def test_small_ones_come_from_the_heap(size):
    blocks = Blocks(keep_bytes=SIZE)
    small = blocks.take(size)
    assert small.numel() == size
    del small
    assert blocks.spare_bytes == 0


def test_views_fill_one_block_without_holes_and_begin_on_cache_lines():
    shapes = {"odd": (3,), "matrix": (4, 16), "none": (0, 5), "row": (32,), "number": ()}
    tensors = views(shapes, torch.float32, Blocks())
    assert {name: tuple(tensor.shape) for name, tensor in tensors.items()} == shapes
    storages = {tensor.untyped_storage().data_ptr(): tensor.untyped_storage().nbytes() for tensor in tensors.values()}
    assert list(storages.values()) == [4 * (3 + 64 + 32 + 1)]
    places = {name: tensor.data_ptr() - min(storages) for name, tensor in tensors.items() if tensor.numel()}
    assert places["matrix"] % 64 == places["row"] % 64 == 0
    assert sorted(places.values()) == [0, 256, 384, 396]


def test_copies_of_one_dtype_lie_in_one_block():
    tensors = {"half": torch.randn(3, 5).half(), "whole": torch.randn(16)}
    made = converted(tensors, torch.bfloat16, Blocks())
    assert all(torch.equal(made[name], tensor.bfloat16()) for name, tensor in tensors.items())
    assert {tensor.untyped_storage().nbytes() for tensor in made.values()} == {2 * 31}
