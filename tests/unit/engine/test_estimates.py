"""Estimates of work: cold until told enough, then what was told."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from voxswap_server.engine.estimates import COLD, Demand, Estimates, units


def taught(count: int = COLD, audio_s: float = 2.0, device_s: float = 1.0) -> Estimates:
    estimates = Estimates()
    for _ in range(count):
        estimates.learn("amber", "v2", "x" * 20, speed=1.0, audio_s=audio_s, device_s=device_s)
    return estimates


def test_nothing_is_said_of_what_is_not_known() -> None:
    assert Estimates().demand("amber", "Hello") is None
    assert taught(COLD - 1).demand("amber", "Hello") is None
    assert taught().demand("slate", "Hello") is None
    assert taught().demand("amber", "?!") is None


def test_what_was_told_is_what_is_said() -> None:
    demand = taught().demand("amber", "x" * 200)
    assert demand is not None
    assert demand.audio_s == pytest.approx(20.0)
    assert demand.device_s == demand.left_s == pytest.approx(10.0)


def test_fast_speech_is_less_work() -> None:
    estimates = Estimates()
    for _ in range(COLD):
        estimates.learn("amber", "v2", "x" * 20, speed=2.0, audio_s=1.0, device_s=0.5)
    plain, fast = (estimates.demand("amber", "x" * 20, speed=speed) for speed in (1.0, 2.0))
    assert plain is not None
    assert fast is not None
    assert (plain.audio_s, fast.audio_s) == (pytest.approx(2.0), pytest.approx(1.0))


def test_voices_of_one_kind_learn_from_one_another() -> None:
    estimates = taught(COLD - 1)
    estimates.learn("slate", "v2", "x" * 20, speed=1.0, audio_s=2.0, device_s=1.0)
    assert estimates.demand("amber", "Hello") is not None
    estimates.learn("coral", "v2Pro", "x" * 20, speed=1.0, audio_s=2.0, device_s=1.0)
    assert estimates.demand("coral", "Hello") is None


def test_what_cannot_be_measured_teaches_nothing() -> None:
    estimates = taught(0)
    for _ in range(2 * COLD):
        estimates.learn("amber", "v2", "?!", speed=1.0, audio_s=1.0, device_s=1.0)
        estimates.learn("amber", "v2", "word", speed=1.0, audio_s=0.0, device_s=1.0)
    assert estimates.demand("amber", "word") is None


@given(st.lists(st.floats(0.1, 5.0), min_size=COLD, max_size=60))
def test_an_average_stays_among_what_it_was_told(factors: list[float]) -> None:
    estimates = Estimates()
    for factor in factors:
        estimates.learn("amber", "v2", "x" * 10, speed=1.0, audio_s=1.0, device_s=factor)
    demand = estimates.demand("amber", "x" * 10)
    assert demand is not None
    assert min(factors) * 0.999 <= demand.device_s <= max(factors) * 1.001


def test_an_average_follows_a_machine_that_became_slower() -> None:
    estimates = taught(50, device_s=1.0)
    for _ in range(50):
        estimates.learn("amber", "v2", "x" * 20, speed=1.0, audio_s=2.0, device_s=4.0)
    demand = estimates.demand("amber", "x" * 20)
    assert demand is not None
    assert demand.device_s > 3.9


def test_a_demand_shrinks_as_it_is_spoken_and_never_below_nothing() -> None:
    demand = Demand(10.0, 20.0)
    demand.spoken_s = 5.0
    assert demand.left_s == 7.5
    demand.spoken_s = 30.0
    assert demand.left_s == 0.0


def test_a_syllable_is_about_as_long_in_every_script() -> None:
    assert units("今天天气") == 12
    assert units("오늘") == 6
    assert units("hello, world") == 10
    assert units("42") == 6
    assert units("  … ") == 0
