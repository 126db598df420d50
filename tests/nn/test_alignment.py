"""The path through an attention, and the attention of the decoders."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from voxswap_server.nn.alignment import best_path


def test_a_path_follows_the_attention() -> None:
    lengths = [3, 1, 6, 2]
    attention = np.full((12, 4), 0.01, np.float32)
    frame = 0
    for phone, length in enumerate(lengths):
        attention[frame : frame + length, phone] = 0.97
        frame += length
    assert best_path(attention).ends == pytest.approx(np.cumsum(lengths) / 12)


def test_one_frame_that_looks_elsewhere_changes_nothing() -> None:
    attention = np.full((10, 2), 0.5, np.float32)
    attention[:5] = (1, 0)
    attention[5:] = (0, 1)
    attention[2] = (0, 1)
    assert best_path(attention).ends == pytest.approx([0.5, 1.0])


def test_fewer_frames_than_phones_share_them() -> None:
    assert best_path(np.ones((2, 4), np.float32)).ends == pytest.approx([0.25, 0.5, 0.75, 1.0])


@given(st.integers(1, 12), st.integers(1, 20), st.integers(0, 99))
def test_each_phone_has_its_time_and_together_they_have_all(frames: int, phones: int, seed: int) -> None:
    attention = np.random.default_rng(seed).uniform(0, 1, (frames, phones)).astype(np.float32)
    ends = best_path(attention).ends
    assert ends.shape == (phones,)
    assert ends[-1] == 1
    assert (np.diff(ends, prepend=0) > 0).all()


@given(st.integers(2, 5), st.integers(2, 5), st.integers(0, 99))
def test_no_other_path_is_better(frames: int, phones: int, seed: int) -> None:
    from itertools import combinations

    frames = max(frames, phones)
    attention = np.random.default_rng(seed).uniform(0.01, 1, (frames, phones)).astype(np.float32)
    edges = [0, *np.rint(best_path(attention).ends * frames).astype(int)]

    def score(edges: list[int]) -> float:
        spans = zip(range(phones), edges[:-1], edges[1:], strict=True)
        return float(sum(np.log(attention[start:end, phone]).sum() for phone, start, end in spans))

    every = ([0, *inner, frames] for inner in combinations(range(1, frames), phones - 1))
    assert score(edges) == pytest.approx(max(map(score, every)))
    assert best_path(attention).weight == pytest.approx(np.exp(score(edges) / frames))
