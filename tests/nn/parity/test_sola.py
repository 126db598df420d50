"""Joining overlapping pieces where they fit best."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from voxswap_server.parity.sola import best_shift, merge


def noise(samples: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(samples, generator=torch.Generator().manual_seed(seed))


@given(shift=st.integers(0, 40), seed=st.integers(0, 50))
@settings(deadline=None)
def test_the_shift_is_where_the_tail_recurs(shift: int, seed: int) -> None:
    head = noise(140, seed)
    assert best_shift(head[shift : shift + 100], head) == shift


def test_a_loud_place_does_not_win_over_a_fitting_one() -> None:
    head = torch.cat((noise(50, 1), 30 * noise(50, 2)))
    assert best_shift(head[10:50], head) == 10


@given(shifts=st.lists(st.integers(0, 30), min_size=1, max_size=4))
@settings(deadline=None, max_examples=30)
def test_pieces_of_one_signal_are_put_together_again(shifts: list[int]) -> None:
    overlap, step, search = 60, 400, 30
    signal = noise(step * (len(shifts) + 1) + 500, 3)
    pieces, start = [signal[: step + overlap]], 0
    for shift in shifts:
        # Each piece begins `shift` samples before the overlap with the one before it.
        start = start + len(pieces[-1]) - overlap - shift
        pieces.append(signal[start : start + step + overlap + shift])
    merged = merge(pieces, overlap, search)
    torch.testing.assert_close(merged, signal[: len(merged)], rtol=0, atol=1e-5)
    assert len(merged) == sum(map(len, pieces)) - overlap * len(shifts) - sum(shifts)


def test_one_piece_stays_as_it_is_and_none_is_changed() -> None:
    piece = noise(300)
    torch.testing.assert_close(merge([piece], 50), piece)
    pieces = [noise(500, 1), noise(500, 2)]
    before = [one.clone() for one in pieces]
    merge(pieces, 60)
    assert all(torch.equal(one, kept) for one, kept in zip(pieces, before, strict=True))


def test_the_fade_goes_from_one_piece_to_the_other() -> None:
    merged = merge([torch.zeros(500), torch.ones(500)], 100, search=0)
    assert merged.shape == (900,)
    assert not merged[:400].any()
    assert (merged[500:] == 1).all()
    assert (merged[400:500].diff() > 0).all()
    assert merged[450].item() == pytest.approx(0.5, abs=0.01)
