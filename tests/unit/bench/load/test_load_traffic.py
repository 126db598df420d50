"""Arrivals: random, reproducible, and of the mix that was asked for."""

from collections import Counter

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bench.load.traffic import SHARES, Traffic, arrivals

VOICES = ("amber", "slate", "coral", "onyx")


@given(rate=st.floats(0.5, 50), seed=st.integers(0, 2**31))
def test_arrivals_are_in_order_and_in_time(rate: float, seed: int):
    times = [arrival.at_s for arrival in arrivals(Traffic(rate, 10, seed=seed), VOICES)]
    assert times == sorted(times)
    assert all(0 <= at_s < 10 for at_s in times)


def test_a_seed_is_a_plan():
    first, again, other = (list(arrivals(Traffic(5, 20, seed=seed), VOICES)) for seed in (1, 1, 2))
    assert first == again
    assert first != other


def test_gaps_are_exponential():
    times = np.array([arrival.at_s for arrival in arrivals(Traffic(100, 200), VOICES)])
    gaps = np.diff(times)
    assert np.isclose(gaps.mean(), 0.01, rtol=0.03)
    assert np.isclose(gaps.std(), gaps.mean(), rtol=0.05)  # only an exponential has both alike


def test_popularity_follows_zipf():
    counts = Counter(arrival.voice_id for arrival in arrivals(Traffic(100, 200, zipf=1.0), VOICES))
    for rank, voice in enumerate(VOICES, 1):
        assert np.isclose(counts[voice] * rank, counts["amber"], rtol=0.1), voice


def test_without_an_exponent_every_voice_is_as_popular():
    counts = Counter(arrival.voice_id for arrival in arrivals(Traffic(100, 200, zipf=0), VOICES))
    assert max(counts.values()) < 1.1 * min(counts.values())


def test_texts_have_their_shares():
    plan = list(arrivals(Traffic(100, 200), VOICES))
    counts = Counter(arrival.text.kind for arrival in plan)
    for kind, share in SHARES.items():
        assert np.isclose(counts[kind] / len(plan), share, atol=0.02), kind


@pytest.mark.parametrize(("rate", "voices", "message"), [(0, VOICES, "above 0"), (1, (), "no voice")])
def test_what_cannot_be_asked_is_refused(rate: float, voices: tuple[str, ...], message: str):
    with pytest.raises(ValueError, match=message):
        next(arrivals(Traffic(rate, 10), voices))
