"""The slope of memory: what is flat, what grows, and what cannot be said yet."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bench.soak.growth import LIMIT, SETTLING, Verdict, growth
from bench.soak.log import Run, Sample, Setting

MIB = 2**20
SETTING = Setting("swaps", "engine", "4 voices", 1)
GOAL = 10_000


def run(levels_mib, every=100):
    samples = tuple(Sample(every * n, int(level * MIB), n) for n, level in enumerate(levels_mib, 1))
    return Run(SETTING, "2026-01-01T00:00:00+00:00", "a machine", samples)


def wobbling(count, level=500.0, slope=0.0, wobble=1.0):
    """Up and down by turns, for as many samples; slope in MiB a sample."""
    return [level + slope * n + wobble * (-1) ** n for n in range(count)]


def test_what_only_wobbles_is_flat():
    found = growth([run(wobbling(80))])
    assert found.verdict(GOAL) is Verdict.FLAT
    assert abs(found.slope_bytes) <= found.spread_bytes


def test_a_leak_is_found_whatever_wobbles_around_it():
    """50 KiB a swap."""
    found = growth([run(wobbling(80, slope=100 * 50 / 1024))])
    assert found.slope_bytes == pytest.approx(50 * 1024, rel=0.01)
    assert found.verdict(GOAL) is Verdict.GROWS


def test_what_fills_up_at_the_start_does_not_count():
    settling = [100 + 40 * n for n in range(10)]
    found = growth([run([*settling, *wobbling(91)])])
    assert found.verdict(GOAL) is Verdict.FLAT
    assert found.level_bytes == pytest.approx(500 * MIB, rel=0.01)


def test_another_process_may_have_another_level():
    found = growth([run(wobbling(80, level=300)), run(wobbling(80, level=900))])
    assert found.verdict(GOAL) is Verdict.FLAT
    assert growth([run(wobbling(80, level=900)), run(wobbling(80, level=300))]).verdict(GOAL) is Verdict.FLAT


def test_runs_together_are_surer_than_one():
    shaky = wobbling(7, wobble=5)
    assert growth([run(shaky)] * 6).spread_bytes < growth([run(shaky)]).spread_bytes


def test_a_short_run_leaves_it_open():
    assert growth([run(wobbling(9, wobble=8))]).verdict(GOAL) is Verdict.OPEN


@pytest.mark.parametrize("samples", [0, 1, 2])
def test_too_little_says_nothing(samples):
    assert growth([run([500.0] * samples)]) is None


def test_memory_that_falls_is_no_leak():
    assert growth([run(wobbling(80, slope=-0.5))]).verdict(GOAL) is Verdict.FLAT


@given(slope=st.floats(-1e5, 1e5), level=st.floats(1e8, 1e10), every=st.integers(1, 500), count=st.integers(12, 60))
def test_a_straight_line_is_found_as_it_is(slope, level, every, count):
    """And where there is nothing beside the line, the verdict follows from the slope alone."""
    samples = tuple(Sample(every * n, round(level + 1e8 + slope * every * n), n) for n in range(1, count + 1))
    found = growth([Run(SETTING, "", "", samples)])
    assert found.slope_bytes == pytest.approx(slope, abs=2 / every)
    lowest, highest = found.over(GOAL)
    assert lowest <= highest
    limit = LIMIT * found.level_bytes
    expected = Verdict.FLAT if highest <= limit else Verdict.GROWS if lowest > limit else Verdict.OPEN
    assert found.verdict(GOAL) is expected


def test_the_part_left_out_is_counted_not_guessed():
    """Samples at uneven distances: the tenth is one of the count, not of the samples."""
    early = [Sample(n, 100 * MIB, n) for n in range(1, 40)]
    late = [Sample(400 + 10 * n, (500 + n % 2) * MIB, n) for n in range(60)]
    found = growth([Run(SETTING, "", "", (*early, *late))])
    assert SETTING.kind == "swaps"
    assert SETTLING * late[-1].count > 40
    assert found.level_bytes >= 500 * MIB
