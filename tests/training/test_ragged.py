"""Rows end to end: a stretch is of its own row, wherever it begins."""

import torch
from hypothesis import given
from hypothesis import strategies as st

from voxswap_training.ragged import Rows


@given(
    counts=st.lists(st.integers(1, 9), min_size=1, max_size=6),
    row=st.integers(0, 5),
    first=st.integers(-4, 10),
    length=st.integers(1, 12),
)
def test_a_stretch_is_of_its_row_and_says_what_is_not(counts: list[int], row: int, first: int, length: int) -> None:
    row %= len(counts)
    whole = torch.cat([100 * number + torch.arange(count) for number, count in enumerate(counts)])
    rows = Rows.of(torch.tensor(counts))
    index, inside = rows.stretches(torch.tensor([row, 0]), torch.tensor([first, 0]), length)
    found = whole[index]
    for place in range(length):
        real = 0 <= first + place < counts[row]
        assert bool(inside[0, place]) == real
        assert not real or int(found[0, place]) == 100 * row + first + place
        assert bool(inside[1, place]) == (place < counts[0])
