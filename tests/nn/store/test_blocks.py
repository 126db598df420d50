"""Memory of voices: large stretches that are used again, and never while anybody still looks at them."""

import gc

import pytest
import torch

from voxswap_store.blocks import LARGE_BYTES, Blocks

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


def test_what_may_be_kept_may_change():
    blocks = Blocks(keep_bytes=2 * SIZE)
    taken = [blocks.take(SIZE) for _ in range(3)]
    taken.clear()
    blocks.keep_at_most(SIZE)
    assert blocks.spare_bytes == SIZE
    blocks.keep_at_most(2 * SIZE)
    taken = [blocks.take(SIZE) for _ in range(3)]
    taken.clear()
    assert blocks.spare_bytes == 2 * SIZE


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
