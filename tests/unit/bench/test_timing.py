"""Rounds take turns, and ratios say what they should."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from voxswap_server.bench.timing import Series, interleaved, ratio, timed

SECONDS = st.floats(1e-6, 1e3)


def scripted(log, name, values):
    left = iter(values)

    def sample():
        log.append(name)
        return next(left)

    return sample


def test_each_round_has_everything_once_and_the_order_turns():
    log = []
    work = {name: scripted(log, name, range(10)) for name in "abc"}
    interleaved(work, 3)
    assert "".join(log) == "abc" + "abc" + "bca" + "cab"


def test_the_warm_up_does_not_count():
    assert interleaved({"a": scripted([], "a", [9.0, 1.0, 2.0])}, 2)["a"].values == (1.0, 2.0)
    assert interleaved({"a": scripted([], "a", [9.0, 1.0])}, 2, warm_up=False)["a"].values == (9.0, 1.0)


def test_a_series_knows_its_statistics():
    series = Series((2.0, 5.0, 4.0))
    assert (series.best("lower"), series.best("higher"), series.median) == (2.0, 5.0, 4.0)
    assert series.spread == 1.5
    assert series.map(lambda value: value * 10).values == (20.0, 50.0, 40.0)


def test_of_many_rounds_the_middle_half_tells_how_far_they_lie_apart():
    calm = (10.0, 10.1, 10.2, 10.3, 10.4) * 3
    assert Series((*calm, 90.0)).spread == pytest.approx(0.2 / 10.2, abs=0.01)
    assert Series((*calm[:10], 90.0)).spread == 8.0
    assert Series((0.0,) * 12).spread == 0.0


def test_a_series_is_never_empty():
    with pytest.raises(ValueError, match="at least one round"):
        Series(())


def test_twice_as_fast_is_two_whichever_way_is_better():
    fast, slow = Series((1.0, 2.0)), Series((2.0, 6.0))
    times = ratio(fast, slow, "lower")
    assert (times.best, times.within.values) == (2.0, (2.0, 3.0))
    rates = ratio(fast.map(lambda s: 1 / s), slow.map(lambda s: 1 / s), "higher")
    assert rates.best == pytest.approx(2.0)
    assert rates.within.values == pytest.approx((2.0, 3.0))


def test_only_what_ran_beside_each_other_is_compared():
    with pytest.raises(ValueError, match="is shorter than"):
        ratio(Series((1.0, 2.0)), Series((1.0,)), "lower")


@pytest.mark.parametrize(
    ("own", "began_s", "counts"),
    [
        (Series((1.0, 1.05), (0.0, 100.0)), (30.0, 130.0), True),
        (Series((1.0, 1.2), (0.0, 100.0)), (30.0, 130.0), False),  # 20 % apart
        (Series((1.0, 1.0), (0.0, 100.0)), (30.0, 160.0), False),  # a minute apart in the second round
        (Series((1.0, 1.0)), (30.0, 160.0), False),  # nobody knows
        (Series((1.0,), (0.0,)), (30.0,), False),  # one round has no spread
    ],
)
def test_a_ratio_counts_if_it_is_steady_and_of_one_minute(own, began_s, counts):
    other = Series((2.0,) * len(began_s), began_s)
    assert ratio(own, other, "lower").counts is counts


def test_rounds_know_when_they_began():
    found = interleaved({"a": lambda: 1.0, "b": lambda: 2.0}, 2)
    first, second = found["a"].began_s
    assert first <= found["b"].began_s[0] <= second
    scaled = found["a"].map(lambda s: 1e3 * s)
    assert scaled.began_s == found["a"].began_s
    apart_s = ratio(scaled, found["b"], "lower").apart_s
    assert apart_s == max(abs(a - b) for a, b in zip(scaled.began_s, found["b"].began_s, strict=True))


@given(st.lists(st.tuples(SECONDS, SECONDS), min_size=1, max_size=8))
def test_a_ratio_turns_round_with_its_sides(rounds):
    own, other = (Series(values) for values in zip(*rounds, strict=True))
    there, back = ratio(own, other, "lower"), ratio(other, own, "lower")
    assert there.best * back.best == pytest.approx(1)
    assert min(there.within.values) * max(back.within.values) == pytest.approx(1)
    assert ratio(own, own, "lower").best == 1


def test_a_short_call_is_repeated_until_the_clock_can_see_it(monkeypatch):
    clock = iter([0.0, 0.25, 0.5, 0.75])
    monkeypatch.setattr("voxswap_server.bench.timing.time.perf_counter", lambda: next(clock))
    calls = []
    assert timed(lambda: calls.append(1), at_least_s=0.7)() == 0.25
    assert len(calls) == 3


def test_a_failure_is_not_a_measurement():
    def broken():
        raise OSError("gone")

    with pytest.raises(OSError, match="gone"):
        interleaved({"a": timed(broken)}, 1)


def test_any_clock_will_do():
    readings = iter((10.0, 10.5, 11.5))
    assert timed(lambda: None, at_least_s=1.0, clock=lambda: next(readings))() == 0.75
