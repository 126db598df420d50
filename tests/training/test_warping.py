"""What comes a little early or late is found where it is; a walk is never dearer than standing still."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from voxswap_training.warping import REACH, shifts, warped

STEPS = 40


def burst(at: int, size: float = 5.0) -> torch.Tensor:
    """(1, 3, STEPS), quiet but for two steps."""
    x = torch.zeros(1, 3, STEPS)
    x[..., at : at + 2] = size
    return x


@pytest.mark.parametrize("late", [-3, -1, 0, 2, 4])
def test_a_burst_is_found_and_the_truth_brought_to_it(late: int) -> None:
    said, true = burst(20), burst(20 + late)
    found = shifts(said, true)
    assert found.shape == (1, STEPS)
    assert (found[0, 20:22] == late).all()
    assert torch.equal(warped(true, found), said)


def test_what_is_further_away_is_not_the_same_burst() -> None:
    found = shifts(burst(10), burst(10 + 3 * REACH))
    assert found.abs().max() <= REACH
    assert not warped(burst(10 + 3 * REACH), found)[..., 10:12].any()


def test_rows_are_found_by_themselves() -> None:
    said, true = torch.cat([burst(20), burst(15)]), torch.cat([burst(21), burst(13)])
    both = shifts(said, true)
    for row in range(2):
        assert torch.equal(both[row], shifts(said[row : row + 1], true[row : row + 1])[0])


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 10_000), st.integers(1, 30))
def test_walks_are_even_and_not_dearer_than_none(seed: int, steps: int) -> None:
    rng = torch.Generator().manual_seed(seed)
    said, true = (torch.randn(2, 3, steps, generator=rng) for _ in range(2))
    found = shifts(said, true)
    assert found.abs().max() <= REACH
    assert steps == 1 or found.diff().abs().max() <= 1
    place = torch.arange(steps) + found
    assert ((place >= 0) & (place < steps)).all(), "beyond the ends there is nothing to be like"
    assert (said - warped(true, found)).abs().sum() <= (said - true).abs().sum() + 1e-4


def test_it_takes_more_than_a_little_to_move() -> None:
    assert not shifts(burst(20, 0.01), burst(21, 0.01)).any()
