"""The quiet before the first sound, and what becomes of it."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from voxswap_server.engine.live.lead_in import LeadIn

RATE_HZ = 1000  # a step is 10 samples


def signal(quiet_samples: int, level: float = 0.1) -> np.ndarray:
    """Quiet that is no zero, then sound."""
    quiet = np.full(quiet_samples, 0.001, np.float32)
    return np.concatenate((quiet, np.full(50, level, np.float32)))


def heard(samples: np.ndarray, cuts: list[int]) -> np.ndarray:
    lead_in = LeadIn(RATE_HZ)
    return np.concatenate([*(lead_in.push(piece) for piece in np.split(samples, cuts)), lead_in.flush()])


@pytest.mark.parametrize(
    ("quiet_samples", "left_out"), [(0, 0), (9, 0), (10, 0), (20, 10), (300, 290), (305, 290), (1000, 990)]
)
def test_quiet_is_left_out_but_for_the_step_before_the_sound(quiet_samples: int, left_out: int) -> None:
    samples = signal(quiet_samples)
    assert (heard(samples, []) == samples[left_out:]).all()
    assert heard(samples, []).size == samples.size - left_out


def test_quiet_that_goes_on_is_meant() -> None:
    samples = signal(1020)
    assert heard(samples, [*range(100, 1051, 100)]).size == samples.size


def test_where_no_sound_comes_nothing_is_left_out() -> None:
    samples = np.full(77, 0.001, np.float32)
    assert (heard(samples, [30]) == samples).all()


@given(st.integers(0, 1300), st.lists(st.integers(0, 1300), max_size=9))
def test_pieces_are_as_good_as_the_whole(quiet_samples: int, cuts: list[int]) -> None:
    samples = signal(quiet_samples)
    assert heard(samples, sorted(cuts)).tolist() == heard(samples, []).tolist()
