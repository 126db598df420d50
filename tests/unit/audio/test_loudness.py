"""When a signal is quiet."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from voxswap_server.audio.loudness import STEP_S, Loudness

RATE_HZ = 16_000


def sound(*parts: tuple[float, float]) -> NDArray[np.float32]:
    """Noise of (seconds, level in dB of full scale), one after another."""
    rng = np.random.default_rng(0)
    pieces = [rng.normal(0, 10 ** (level_db / 20), round(seconds * RATE_HZ)) for seconds, level_db in parts]
    return np.concatenate(pieces).astype(np.float32)


def quiet(samples: NDArray[np.float32]) -> NDArray[np.bool_]:
    loudness = Loudness(RATE_HZ)
    loudness.push(samples)
    return loudness.quiet()


def spans(flags: NDArray[np.bool_]) -> list[tuple[float, float]]:
    """(start, end) in seconds of what is quiet."""
    edges = np.flatnonzero(np.diff(np.concatenate(([False], flags, [False])).astype(int)))
    return [(round(start * STEP_S, 3), round(end * STEP_S, 3)) for start, end in edges.reshape(-1, 2).tolist()]


def test_silences_are_found_at_both_ends_and_within() -> None:
    heard = sound((0.05, -80), (0.5, -20), (0.2, -80), (0.5, -20), (0.3, -90))
    assert spans(quiet(heard)) == [(0.0, 0.05), (0.55, 0.75), (1.25, 1.55)]


def test_the_closure_of_a_stop_is_no_silence() -> None:
    assert spans(quiet(sound((0.5, -20), (0.08, -80), (0.5, -20)))) == []


def test_a_click_does_not_end_a_silence() -> None:
    heard = sound((0.5, -20), (0.1, -80), (0.02, -30), (0.1, -80), (0.5, -20))
    assert spans(quiet(heard)) == [(0.5, 0.72)]


def test_the_release_of_a_stop_is_part_of_the_sound_before_it() -> None:
    heard = sound((0.5, -20), (0.05, -80), (0.02, -30), (0.3, -80), (0.5, -20))
    assert spans(quiet(heard)) == [(0.57, 0.87)]


@pytest.mark.parametrize("level_db", [-6.0, -20.0, -40.0])
def test_quiet_is_by_what_is_loud(level_db: float) -> None:
    heard = sound((0.5, level_db), (0.2, level_db - 45), (0.5, level_db), (0.2, level_db - 15), (0.5, level_db))
    assert spans(quiet(heard)) == [(0.5, 0.7)]


def test_nothing_is_heard_in_a_signal_that_is_silence() -> None:
    assert quiet(np.zeros(RATE_HZ, np.float32)).all()
    assert quiet(np.zeros(0, np.float32)).size == 0


@given(st.lists(st.integers(0, 900), max_size=12), st.integers(0, 9))
def test_pieces_are_as_good_as_the_whole(sizes: list[int], seed: int) -> None:
    rng = np.random.default_rng(seed)
    samples = rng.normal(0, 1, sum(sizes)) * rng.choice([1e-5, 0.1], sum(sizes) // 400 + 1).repeat(400)[: sum(sizes)]
    whole, pieces = Loudness(RATE_HZ), Loudness(RATE_HZ)
    whole.push(samples.astype(np.float32))
    for piece in np.split(samples.astype(np.float32), np.cumsum(sizes)):
        pieces.push(piece)
    assert pieces.quiet().tolist() == whole.quiet().tolist()
    assert whole.quiet().size == -(-sum(sizes) // whole.step_samples)
