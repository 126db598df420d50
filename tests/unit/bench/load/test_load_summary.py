"""Sums over a run, the goal, and the report."""

import json
from typing import Any

import pytest

from bench.load.drive import Outcome
from bench.load.report import as_json, markdown
from bench.load.summary import Goal, summarise


def outcome(at_s: float, **changes: Any) -> Outcome:
    usual: dict[str, Any] = {
        "voice_id": "amber",
        "kind": "short",
        "code": "OK",
        "late_s": 0.001,
        "ttfa_s": 0.2,
        "total_s": 1.0,
        "audio_s": 2.0,
        "underrun_s": 0.0,
        "underruns": 0,
        "longest_gap_s": 0.1,
        "cache_state": "device",
    }
    return Outcome(at_s, **usual | changes)


def test_the_warm_up_does_not_count():
    summary = summarise([outcome(1, ttfa_s=9.0), outcome(11), outcome(12)], warm_up_s=10)
    assert summary.requests == 2
    assert summary.ttfa_s is not None
    assert summary.ttfa_s.p99 == pytest.approx(0.2)
    assert summary.audio_per_s == pytest.approx(4.0 / 3.0)  # until the last answer, at 13


def test_failures_are_counted_by_code_and_have_no_times():
    failed = outcome(2, code="RESOURCE_EXHAUSTED", ttfa_s=None, audio_s=0.0, cache_state="")
    summary = summarise([outcome(1), failed, outcome(3, cache_state="disk")], warm_up_s=0)
    assert summary.codes == {"OK": 2, "RESOURCE_EXHAUSTED": 1}
    assert summary.failed_share == pytest.approx(1 / 3)
    assert summary.cold_share == pytest.approx(1 / 3)
    assert summary.ttfa_s is not None


def test_a_failure_after_audio_does_not_count_as_a_fast_answer():
    summary = summarise([outcome(1, code="INTERNAL", ttfa_s=0.01), outcome(2, ttfa_s=0.5)], warm_up_s=0)
    assert summary.ttfa_s is not None
    assert summary.ttfa_s.p50 == pytest.approx(0.5)


@pytest.mark.parametrize(
    ("bad", "held"),
    [
        ({}, True),
        ({"ttfa_s": 5.0}, False),
        ({"code": "UNAVAILABLE"}, False),
        ({"underruns": 1, "underrun_s": 0.5}, False),
    ],
)
def test_a_goal_needs_all_of_it(bad: dict[str, Any], held: bool):
    outcomes = [outcome(at_s) for at_s in range(9)] + [outcome(9, **bad)]
    assert Goal().held_by(summarise(outcomes, warm_up_s=0)) is held


def test_nothing_answered_holds_no_goal():
    assert not Goal().held_by(summarise([], warm_up_s=0))
    assert not Goal(failed_share=1.0).held_by(summarise([outcome(1, code="UNAVAILABLE")], warm_up_s=0))


def test_the_report_has_a_row_for_each_run():
    runs = [(1.0, summarise([outcome(1)], warm_up_s=0)), (2.0, summarise([], warm_up_s=0))]
    head, _, first, second = markdown(runs).splitlines()
    assert head.count("|") == first.count("|") == second.count("|")
    assert "0.20 / 0.20 / 0.20 s" in first
    assert "—" in second
    assert [run["requests"] for run in json.loads(as_json(runs))] == [1, 0]
