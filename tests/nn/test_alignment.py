"""The path through an attention, how clear one is, and what quiet does to it."""

from collections.abc import Iterable
from itertools import combinations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from voxswap_server.nn.alignment import best_path, clearness


def following(lengths: list[int], weight: float = 0.97) -> NDArray[np.float32]:
    """(frames, phones): each phone is looked at for so many frames, and hardly elsewhere."""
    spoken = np.repeat(np.arange(len(lengths)), lengths)
    return np.where(np.arange(len(lengths)) == spoken[:, None], weight, 0.01).astype(np.float32)


def spans(
    attention: NDArray[np.float32],
    quiet: Iterable[int] = (),
    pauses: Iterable[int] = (),
    begins: Iterable[int] = (),
    parts: int = 1,
) -> list[list[float]]:
    """In frames, where a frame is so many steps; `quiet` names steps, `pauses` and `begins` phones."""
    frames, phones = attention.shape
    is_quiet, is_pause, is_begin = np.zeros(frames * parts, bool), np.zeros(phones, bool), np.zeros(phones, bool)
    is_quiet[list(quiet)], is_pause[list(pauses)], is_begin[list(begins)] = True, True, True
    return (best_path(attention, is_quiet, is_pause, is_begin) / parts).tolist()


def path(
    attention: NDArray[np.float32], quiet: Iterable[int] = (), pauses: Iterable[int] = (), parts: int = 1
) -> list[float]:
    """Ends by frames, where no silence is between words."""
    edges = np.array(spans(attention, quiet, pauses, parts=parts))
    assert edges[0, 0] == 0
    assert (edges[1:, 0] == edges[:-1, 1]).all()
    return edges[:, 1].tolist()


def test_a_path_follows_the_attention() -> None:
    assert path(following([3, 1, 6, 2])) == [3, 4, 10, 12]


def test_one_frame_that_looks_elsewhere_changes_nothing() -> None:
    attention = np.eye(2, dtype=np.float32).repeat(5, axis=0)
    attention[2] = (0, 1)
    assert path(attention) == [5, 10]


def test_fewer_steps_than_phones_share_them() -> None:
    assert path(np.ones((2, 4), np.float32)) == [0.5, 1, 1.5, 2]


def test_between_the_middles_of_two_frames_the_border_lies_where_they_say() -> None:
    attention = following([3, 3])
    assert path(attention, parts=4) == [3, 6]
    attention[3] = (0.5, 0.5)  # undecided: the border is in its middle
    assert path(attention, parts=8)[0] == pytest.approx(3.5, abs=0.13)


def test_a_phone_that_no_frame_is_about_takes_no_whole_frame() -> None:
    attention = np.insert(following([4, 4]), 1, 1e-4, axis=1)
    first, second, _ = path(attention, parts=4)
    assert second - first == 0.25
    assert abs(first - 4) <= 0.25


def test_quiet_belongs_to_the_mark_though_the_model_looks_at_the_phone_before_it() -> None:
    attention = following([4, 8, 1, 3])  # the breath is held on the second phone
    assert path(attention, pauses=[2]) == [4, 12, 13, 16]
    assert path(attention, quiet=range(7, 13), pauses=[2]) == [4, 7, 13, 16]


def test_quiet_belongs_to_the_mark_though_the_model_looks_at_the_phone_after_it() -> None:
    assert path(following([4, 1, 9]), quiet=range(4, 9), pauses=[1]) == [4, 9, 14]


def test_quiet_with_no_mark_near_moves_no_phone_that_is_heard() -> None:
    attention = following([4, 6, 4, 1, 3])
    assert path(attention, quiet=range(6, 9), pauses=[3])[:1] == [4]
    assert path(attention, quiet=range(6, 9), pauses=[3])[1:] == [10, 14, 15, 18]


def test_a_mark_that_nobody_pauses_at_takes_what_the_attention_gives_it() -> None:
    assert path(following([4, 1, 4]), pauses=[1]) == [4, 5, 9]


def test_quiet_that_no_mark_has_lies_between_two_words() -> None:
    attention = following([4, 9, 4])  # the breath is held on the second phone, of the first word
    assert spans(attention, quiet=range(8, 13), begins=[0, 2]) == [[0, 4], [4, 8], [13, 17]]
    assert spans(following([4, 4, 9]), quiet=range(8, 13), begins=[0, 2]) == [[0, 4], [4, 8], [13, 17]]


def test_quiet_before_the_first_word_and_after_the_last_one_is_of_neither() -> None:
    assert spans(following([6, 6]), quiet=[0, 1, 2, 9, 10, 11], begins=[0]) == [[3, 6], [6, 9]]


def test_where_there_is_a_mark_it_has_the_quiet_and_not_the_gap_beside_it() -> None:
    attention = following([4, 8, 1, 3])
    assert spans(attention, quiet=range(7, 13), pauses=[2], begins=[0, 3]) == [[0, 4], [4, 7], [7, 13], [13, 16]]


def test_what_is_heard_at_either_end_of_a_pause_is_of_the_phone_on_that_side() -> None:
    attention = following([4, 9, 4])  # the model is at the mark while both words still sound
    assert spans(attention, quiet=range(6, 11), pauses=[1], begins=[0, 2]) == [[0, 6], [6, 11], [11, 17]]
    assert spans(attention, pauses=[1], begins=[0, 2]) == [[0, 4], [4, 13], [13, 17]]  # nobody pauses


def test_words_that_follow_each_other_are_not_parted_where_something_is_heard() -> None:
    assert spans(following([3, 3, 3]), begins=[0, 1, 2]) == [[0, 3], [3, 6], [6, 9]]


@given(st.integers(1, 12), st.integers(1, 20), st.integers(1, 30), st.integers(0, 99))
def test_each_phone_has_its_time_and_silence_is_only_where_it_may_be(
    frames: int, phones: int, steps: int, seed: int
) -> None:
    rng = np.random.default_rng(seed)
    attention = rng.uniform(0, 1, (frames, phones)).astype(np.float32)
    quiet, pauses, begins = rng.random(steps) < 0.4, rng.random(phones) < 0.3, rng.random(phones) < 0.5
    found = best_path(attention, quiet, pauses, begins)
    assert found.shape == (phones, 2)
    assert (found[:, 0] < found[:, 1]).all()
    gaps = found[:, 0] - np.concatenate(([0], found[:-1, 1]))
    assert (gaps >= 0).all()
    assert (gaps[~begins] == 0).all()
    assert found[-1, 1] <= steps


@given(st.integers(2, 5), st.integers(2, 5), st.integers(0, 99))
def test_no_other_path_is_better(frames: int, phones: int, seed: int) -> None:
    frames = max(frames, phones)
    attention = np.random.default_rng(seed).uniform(0.01, 1, (frames, phones)).astype(np.float32)

    def score(ends: list[float]) -> float:
        edges = [0, *map(int, ends)]
        parts = zip(range(phones), edges[:-1], edges[1:], strict=True)
        return float(sum(np.log(attention[start:end, phone]).sum() for phone, start, end in parts))

    every = ([*inner, frames] for inner in combinations(range(1, frames), phones - 1))
    best = max(map(score, every))
    assert score(path(attention)) == pytest.approx(best, rel=1e-5)
    assert clearness(attention[None]) == pytest.approx(np.exp(best / frames), rel=1e-5)


def test_attentions_are_told_apart_by_how_clear_they_are() -> None:
    clear, blurred = following([3, 1, 2]), following([3, 1, 2], 0.4)
    nowhere = np.full_like(clear, 0.01)
    backwards = clear[::-1]
    found = clearness(np.stack([blurred, clear, nowhere, backwards]))
    assert found.argmax() == 1
    assert found[:3] == pytest.approx([0.4, 0.97, 0.01])
    assert found[3] < 0.4
