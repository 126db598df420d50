"""What reports say of goals.

Knows nothing of files or pages.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import median
from typing import Any

from bench.goals.table import Goal
from voxswap_server.bench.timing import FEWEST_ROUNDS, SAME_MINUTE_S, STEADY_SPREAD

Reports = Mapping[str, Mapping[str, Any]]
"""By name: the JSON of a report."""


@dataclass(frozen=True, slots=True)
class Judged:
    """One goal and what was found."""

    goal: Goal
    value: float | None = None
    """None: nobody measured it."""
    spread: float = 0.0
    """Of the ratios within single rounds, or of the row's rounds."""
    apart_s: float | None = None
    """The longest time between the beginnings of the two that are compared; None: there are no two."""
    rounds: int = 0
    by_the_clock: float | None = None
    """The same number by the clock on the wall, where the report has it."""

    @property
    def doubts(self) -> list[str]:
        """Why it does not count."""
        if self.value is None or not self.goal.reference:
            return []
        spread = [f"spread {100 * self.spread:.0f} %"] if self.spread >= STEADY_SPREAD else []
        if self.rounds < FEWEST_ROUNDS:
            spread = [f"rounds: {self.rounds}"]
        near = self.apart_s is not None and self.apart_s < SAME_MINUTE_S
        return spread if near else [*spread, "not within one minute"]

    @property
    def verdict(self) -> str:
        if self.value is None:
            return "not measured"
        said = "aim reached" if self.reaches(self.goal.aim) else "met" if self.reaches(self.goal.must) else "missed"
        return f"does not count ({', '.join(self.doubts)}); {said}" if self.doubts else said

    def reaches(self, mark: float) -> bool:
        if self.value is None:
            return False
        return self.value <= mark if self.goal.at_most else self.value >= mark


def judge(goals: Sequence[Goal], reports: Reports) -> list[Judged]:
    """Each goal beside what was found; a report that is missing leaves its goals unmeasured."""
    return [_judged(goal, reports.get(goal.report, {"rows": []})["rows"]) for goal in goals]


def _judged(goal: Goal, rows: Sequence[Mapping[str, Any]]) -> Judged:
    found = next((row for row in rows if _is_meant(row, goal)), None)
    if found is None:
        return Judged(goal)
    ratio = found["ratio"]
    if not goal.reference or ratio is None:
        return Judged(goal, median(found["rounds"]), found["spread"])
    wall = (found.get("wall") or {}).get("ratio")
    by_the_clock = _turned(wall["median"], goal) if wall else None
    value, rounds = _turned(ratio["median"], goal), len(ratio["rounds"])
    return Judged(goal, value, ratio["spread"], ratio["apart_s"], rounds, by_the_clock)


def _is_meant(row: Mapping[str, Any], goal: Goal) -> bool:
    if (row["measure"], row["name"]) != (goal.measure, goal.row):
        return False
    return not goal.reference or (row["reference"] or {}).get("name", "").startswith(goal.reference)


def _turned(times: float, goal: Goal) -> float:
    return 1 / times if goal.at_most else times
