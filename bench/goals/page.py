"""Goals as a page and as a picture.

Knows nothing of where the numbers come from.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path

from matplotlib.figure import Figure

from bench.goals.judged import Judged
from voxswap_server.bench.report import number

_HEADINGS = ("#", "goal", "must", "aim", "found", "by the clock", "spread", "apart", "verdict")
_RULE = (
    "Where the mark begins with ≥, a number is how many times as good as its reference ours is; with ≤, the share of "
    "what the reference takes. It is the median of the ratios within single rounds: *spread* is how far these lie "
    "apart, *apart* the longest time between the beginnings of the two that are compared. A ratio counts if its spread "
    "is below 10 % and the two began within one minute."
)
_COLOURS = {"aim reached": "#2f7d4f", "met": "#7fb069", "missed": "#b03030"}
_UNSURE = "#a8a8a8"


def markdown(judged: Sequence[Judged], conditions: Mapping[str, Mapping[str, str]], notes: Sequence[str]) -> str:
    """The page.

    Args:
        judged: every goal.
        conditions: of each report, in words.
        notes: what the table cannot say.
    """
    lines = ["# Goals", "", "![goals](goals.png)", "", _RULE, "", _line(_HEADINGS), f"|{'---|' * len(_HEADINGS)}"]
    lines += [_line(_cells(one)) for one in judged]
    lines += ["", *(f"- {note}" for note in notes)]
    for report, words in conditions.items():
        lines += ["", f"## {report}", "", *(f"- {name}: {value}" for name, value in words.items())]
    return "\n".join(lines) + "\n"


def chart(judged: Sequence[Judged], to: Path) -> None:
    """How far each goal is reached: 1 is what must be; a mark shows the aim."""
    shown = [(one, one.value) for one in judged if one.value]
    figure = Figure(figsize=(9, 1.2 + 0.32 * len(shown)), layout="constrained")
    axes = figure.subplots()
    places = range(len(shown))
    reached = [_of_must(one, value) for one, value in shown]
    colours = [_COLOURS.get(one.verdict, _UNSURE) for one, _ in shown]
    bars = axes.barh(places, reached, color=colours)
    axes.bar_label(bars, [f"{number(value)}{one.goal.unit}" for one, value in shown], padding=6, fontsize=7)
    axes.scatter([_of_must(one, one.goal.aim) for one, _ in shown], places, marker="|", s=90, color="#222222", zorder=3)
    axes.set_yticks(places, [f"{one.goal.number}: {one.goal.what}" for one, _ in shown])
    axes.axvline(1, color="#b03030", linewidth=1)
    axes.invert_yaxis()
    if shown:
        axes.set_xscale("log")
        axes.xaxis.set_major_formatter("{x:g}")
        axes.xaxis.set_minor_formatter("{x:g}")
        axes.margins(x=0.15)
    axes.set_xlabel("of what must be reached (red line); black marks: the aim; grey bars do not count")
    axes.tick_params(which="both", labelsize=8)
    figure.savefig(to, dpi=110)


def _of_must(one: Judged, value: float) -> float:
    return one.goal.must / value if one.goal.at_most else value / one.goal.must


def _cells(one: Judged) -> tuple[str, ...]:
    goal, sign = one.goal, "≤" if one.goal.at_most else "≥"
    marks = (f"{sign} {goal.must:g}{goal.unit}", f"{sign} {goal.aim:g}{goal.unit}")
    if one.value is None:
        return (str(goal.number), goal.what, *marks, "", "", "", "", one.verdict)
    clock = "" if one.by_the_clock is None else number(one.by_the_clock)
    apart = "" if one.apart_s is None else f"{one.apart_s:.0f} s"
    found = (f"{number(one.value)}{goal.unit}", clock, f"{100 * one.spread:.0f} %", apart)
    return (str(goal.number), goal.what, *marks, *found, one.verdict)


def _line(cells: Sequence[str]) -> str:
    return f"| {' | '.join(cells)} |"
