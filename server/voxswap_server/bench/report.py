"""What was measured, as rows, and the rows as Markdown and JSON.

Knows nothing of how a number came about, or of terminals.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from voxswap_server.bench.timing import Better, Ratio, Series, ratio

HEADINGS: Final = ("what", "unit", "best", "median", "spread", "reference", "its best", "× as good", "in the rounds")
LEGEND: Final = (
    "best is the fastest round; spread is (highest - lowest) / lowest of all rounds, and from 12 rounds on (third "
    "quartile - first) / median, that of their middle half; × as good compares best with best "
    "(above 1: better than its reference), beside it the range of the ratios within single rounds."
)


@dataclass(frozen=True, slots=True)
class Reference:
    """What a row is compared with, measured in the same rounds and in the row's unit."""

    name: str
    series: Series


@dataclass(frozen=True, slots=True)
class Row:
    """One number and what it is worth."""

    measure: str
    name: str
    unit: str
    series: Series
    better: Better = "lower"
    reference: Reference | None = None

    @property
    def best(self) -> float:
        return self.series.best(self.better)

    @property
    def ratio(self) -> Ratio | None:
        return ratio(self.series, self.reference.series, self.better) if self.reference else None

    def cells(self) -> tuple[str, ...]:
        """As `HEADINGS`."""
        once = len(self.series.values) == 1
        own = (number(self.best), "once" if once else number(self.series.median), "" if once else _percent(self.series))
        if self.reference is None or self.ratio is None:
            return (self.name, self.unit, *own, "", "", "", "")
        reference = (self.reference.name, number(self.reference.series.best(self.better)))
        found = self.ratio
        within = f"{number(min(found.within.values))} to {number(max(found.within.values))}"
        return (self.name, self.unit, *own, *reference, number(found.best), within)

    def as_json(self) -> dict[str, Any]:
        """Every round, so that others can compute other statistics."""
        compared = self.reference
        return {
            **{name: getattr(self, name) for name in ("measure", "name", "unit", "better", "best")},
            "median": self.series.median,
            "spread": self.series.spread,
            "rounds": self.series.values,
            "reference": {"name": compared.name, "rounds": compared.series.values} if compared else None,
            "ratio": _ratio_as_json(self.ratio) if self.ratio else None,
        }


@dataclass(frozen=True, slots=True)
class Report:
    conditions: Mapping[str, str]
    """The machine and the options, in words."""
    rows: Sequence[Row]

    @property
    def measures(self) -> list[str]:
        return list(dict.fromkeys(row.measure for row in self.rows))

    def of(self, measure: str) -> list[Row]:
        return [row for row in self.rows if row.measure == measure]


def number(value: float) -> str:
    """Three digits that count."""
    digits = 3 if abs(value) < 1 else 2 if abs(value) < 10 else 1 if abs(value) < 100 else 0
    return f"{value:.{digits}g}" if 0 < abs(value) < 0.1 else f"{value:.{digits}f}"


def markdown(report: Report, titles: Mapping[str, str]) -> str:
    """The report as a page.

    Args:
        report: what was measured.
        titles: of the measures.
    """
    lines = ["# Benchmark", "", *(f"- {name}: {value}" for name, value in report.conditions.items()), "", LEGEND]
    for measure in report.measures:
        lines += ["", f"## {titles[measure]}", "", _line(HEADINGS), _line("---" for _ in HEADINGS)]
        lines += [_line(row.cells()) for row in report.of(measure)]
    return "\n".join(lines) + "\n"


def as_json(report: Report) -> str:
    content = {"conditions": dict(report.conditions), "rows": [row.as_json() for row in report.rows]}
    return json.dumps(content, indent=1, ensure_ascii=False) + "\n"


def _ratio_as_json(found: Ratio) -> dict[str, Any]:
    within = found.within
    spread = {"rounds": within.values, "median": within.median, "spread": within.spread}
    return {"best": found.best, **spread, "apart_s": found.apart_s, "counts": found.counts}


def _line(cells: Any) -> str:
    return f"| {' | '.join(cells)} |"


def _percent(series: Series) -> str:
    return f"{100 * series.spread:.0f} %"
