"""What reports say of goals, and that every goal finds its row by the name that the measurements give it."""

import json

import pytest

from bench.goals.__main__ import main
from bench.goals.judged import judge
from bench.goals.page import markdown
from bench.goals.table import GOALS, NOTES, Goal

FASTER = Goal(3, "decoder", "peers", "decoder", "ours, exact", "upstream", 1.25, 2)
SOONER = Goal(5, "first audio", "peers", "first audio", "ours, exact", "upstream, stream", 0.6, 0.3, at_most=True)
ABSOLUTE = Goal(6, "in memory", "full", "swap", "lease", "", 1, 1, at_most=True, unit=" ms")


def row(measure, name, reference, times, **changes):
    ratio = {"rounds": [times, times], "median": times, "spread": 0.05, "apart_s": 12.0} | changes
    return {
        "measure": measure,
        "name": name,
        "rounds": [2.0, 4.0],
        "spread": 1.0,
        "reference": {"name": reference} if reference else None,
        "ratio": ratio if reference else None,
        "wall": {"ratio": {"median": times / 2, "spread": 0.5}},
    }


def judged(goal, *rows):
    (one,) = judge([goal], {goal.report: {"rows": rows}})
    return one


@pytest.mark.parametrize(("times", "verdict"), [(1.2, "missed"), (1.25, "met"), (2.0, "aim reached")])
def test_more_is_better(times, verdict):
    one = judged(FASTER, row("decoder", "ours, exact", "upstream", times))
    assert (one.verdict, one.value, one.by_the_clock) == (verdict, times, times / 2)


@pytest.mark.parametrize(("times", "verdict"), [(1.5, "missed"), (2.0, "met"), (4.0, "aim reached")])
def test_a_share_is_better_the_less_it_is(times, verdict):
    one = judged(SOONER, row("first audio", "ours, exact", "upstream, stream", times))
    assert (one.verdict, one.value) == (verdict, 1 / times)


def test_a_row_without_reference_is_judged_by_its_value():
    one = judged(ABSOLUTE, row("swap", "lease", None, 0))
    assert (one.value, one.spread, one.verdict) == (3.0, 1.0, "missed")


@pytest.mark.parametrize(
    ("changes", "doubts"),
    [
        ({"spread": 0.1}, ["spread 10 %"]),
        ({"apart_s": 60.0}, ["not within one minute"]),
        ({"rounds": [3.0]}, ["rounds: 1"]),
        ({"apart_s": None, "spread": 0.25}, ["spread 25 %", "not within one minute"]),
    ],
)
def test_what_is_unsteady_or_far_apart_does_not_count(changes, doubts):
    one = judged(FASTER, row("decoder", "ours, exact", "upstream", 3.0, **changes))
    assert one.doubts == doubts
    assert one.verdict == f"does not count ({', '.join(doubts)}); aim reached"


def test_other_rows_are_not_taken_for_it():
    others = (
        row("decoder", "ours, int8", "upstream", 9.0),
        row("requests", "ours, exact", "upstream", 9.0),
        row("decoder", "ours, exact", "somebody else", 9.0),
    )
    assert judged(FASTER, *others).verdict == "not measured"
    (unmeasured,) = judge([FASTER], {})
    assert unmeasured.value is None
    assert not unmeasured.reaches(0)


def test_the_page_names_every_goal_its_marks_and_its_verdict():
    found = judge([FASTER, SOONER], {"peers": {"rows": [row("decoder", "ours, exact", "upstream", 1.5)]}})
    page = markdown(found, {"Peers": {"machine": "a shed"}}, NOTES)
    assert "| 3 | decoder | ≥ 1.25 | ≥ 2 | 1.50 | 0.750 | 5 % | 12 s | met |" in page
    assert "| 5 | first audio | ≤ 0.6 | ≤ 0.3 |  |  |  |  | not measured |" in page
    assert "- machine: a shed" in page
    assert all(f"- {note}" in page for note in NOTES)


def test_the_command_reads_what_there_is(tmp_path, monkeypatch, capsys):
    content = {"conditions": {"machine": "a shed"}, "rows": [row("decoder", "ours, exact", "gpt-sovits-cpufast", 1.5)]}
    (tmp_path / "peers.json").write_text(json.dumps(content), "utf-8")
    monkeypatch.setattr("sys.argv", ["goals", str(tmp_path)])
    assert main() == 0
    page = (tmp_path / "goals.md").read_text("utf-8")
    assert page == capsys.readouterr().out.removesuffix("\n")
    assert page.count("not measured") == len(GOALS) - 1
    assert (tmp_path / "goals.png").read_bytes().startswith(b"\x89PNG")
