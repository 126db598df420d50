"""Slots: whose memory is read into again, and whose never."""

import gc
import io

import pytest
import torch
from torch import nn

from voxswap_server.engine.slots import Slot, Slots, has_all_in
from voxswap_store.blocks import LARGE_BYTES
from voxswap_store.converted import Converted
from voxswap_store.weights import read_weights, write_weights

ROWS = 4 + LARGE_BYTES // 4096
SIZE_BYTES = 4096 * ROWS


class Network(nn.Module):
    """One matrix."""

    def __init__(self, weight):
        super().__init__()
        self.weight = nn.Parameter(weight, requires_grad=False)

    def forward(self):
        return float(self.weight[-1, -1])


def slot_in(slots, value=1.0, key="a"):
    file = io.BytesIO()
    write_weights(file, Converted({"weight": torch.full((ROWS, 1024), value)}, {}))
    weights = read_weights(file, blocks=slots.blocks)
    return Slot(key, Network(weights.tensors["weight"]), weights)


def test_a_slot_is_idle_when_its_twin_is_gone():
    slots = Slots(4 * SIZE_BYTES)
    slot = slot_in(slots, 3.0)
    twin = slots.lend(slot)
    assert isinstance(twin, Network)
    assert (twin(), slots.size_of(twin), slots.idle_bytes, slots.take("a")) == (3.0, SIZE_BYTES, 0, None)
    gc.disable()
    try:
        del twin
        assert slots.idle_bytes == SIZE_BYTES
    finally:
        gc.enable()
    assert slots.take("b") is None
    assert slots.take("a") is slot
    assert (slots.take("a"), slots.idle_bytes) == (None, 0)


def test_each_twin_is_somebody_else_and_says_what_is_in_the_memory():
    slots = Slots(4 * SIZE_BYTES)
    slot = slot_in(slots)
    one = slots.lend(slot)
    assert one() == 1.0
    assert one is not slot.network
    del one
    slot.weights.tensors["weight"].fill_(2.0)
    assert slots.lend(slots.take("a"))() == 2.0


def test_memory_that_somebody_still_looks_at_is_not_read_into():
    slots = Slots(4 * SIZE_BYTES)
    twin = slots.lend(slot_in(slots, 5.0))
    row = twin.weight[7]
    del twin
    assert (slots.take("a"), slots.idle_bytes, slots.blocks.spare_bytes) == (None, 0, 0)
    assert float(row[0]) == 5.0
    del row
    assert slots.blocks.spare_bytes == SIZE_BYTES  # for a network that is built anew


def test_a_look_that_is_over_does_no_harm():
    slots = Slots(4 * SIZE_BYTES)
    twin = slots.lend(slot_in(slots))
    assert float(twin.weight[7].sum()) == 1024.0
    del twin
    assert slots.take("a") is not None


@pytest.mark.parametrize(("keep", "idle", "spare"), [(0, 0, 0), (1, 1, 0), (2, 2, 0), (4, 3, 0)])
def test_no_more_is_kept_than_allowed_of_slots_and_blocks_together(keep, idle, spare):
    slots = Slots(keep * SIZE_BYTES)
    twins = [slots.lend(slot_in(slots, float(number))) for number in range(3)]
    twins.clear()
    assert (slots.idle_bytes, slots.blocks.spare_bytes) == (idle * SIZE_BYTES, spare * SIZE_BYTES)


def test_blocks_keep_what_slots_leave_them():
    slots = Slots(2 * SIZE_BYTES)
    taken = [slots.blocks.take(SIZE_BYTES) for _ in range(3)]
    twin = slots.lend(slot_in(slots))
    taken.clear()
    assert slots.blocks.spare_bytes == 2 * SIZE_BYTES
    del twin
    assert (slots.idle_bytes, slots.blocks.spare_bytes) == (SIZE_BYTES, SIZE_BYTES)
    slot = slots.take("a")
    slots.blocks.take(SIZE_BYTES)
    assert slots.blocks.spare_bytes == SIZE_BYTES
    slots.put_back(slot)
    slots.clear()
    assert (slots.idle_bytes, slots.blocks.spare_bytes) == (0, 0)


def test_few_slots_are_kept_however_small():
    slots = Slots(1 << 40)
    for number in range(40):
        slots.put_back(slot_in(slots, key=number) if number == 0 else Slot(number, *small()))
    assert [slots.take(number) is not None for number in range(40)] == [False] * 24 + [True] * 16


def small():
    file = io.BytesIO()
    write_weights(file, Converted({"weight": torch.ones(2, 2)}, {}))
    weights = read_weights(file)
    return Network(weights.tensors["weight"]), weights


def test_a_network_with_memory_of_its_own_is_found_out():
    network, weights = small()
    assert has_all_in(network, weights)
    network.register_buffer("derived", network.weight * 2)
    assert not has_all_in(network, weights)
