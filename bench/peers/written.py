"""The report of a comparison on disk: a page, the numbers, and a chart of the ratios.

Knows nothing of peers or of how anything was measured.
"""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from matplotlib.figure import Figure

from bench.peers.compare import TITLES, Found
from voxswap_server.bench.report import Report, as_json, markdown, number

_CHART = "peers.png"
_CLOCKS = (
    "The same rounds by processor seconds, which all tables above have, and by the clock on the wall. A ratio is the "
    "median of those within a round; *spread* is (highest - lowest) / lowest of them, or of 12 and more (third "
    "quartile - first) / median, *apart* the longest time between the beginnings of the two that are compared. A ratio "
    "counts if its spread is below 10 % and the two began within one minute."
)


def write(folder: Path, conditions: Mapping[str, str], found: Sequence[Found]) -> tuple[Path, Path, Path]:
    """Writes peers.md, peers.json and peers.png; returns their paths.

    Args:
        folder: made if it is missing.
        conditions: the machine and the options, in words.
        found: what was measured.
    """
    folder.mkdir(parents=True, exist_ok=True)
    page, data, picture = folder / "peers.md", folder / "peers.json", folder / _CHART
    report = Report(conditions, tuple(one.row for one in found))
    lines = ["# Beside other servers", "", f"![ratios]({_CHART})", *markdown(report, TITLES).splitlines()[1:]]
    page.write_text("\n".join([*lines, "", "## By either clock", "", _CLOCKS, "", *_clocks(found)]) + "\n", "utf-8")
    content = json.loads(as_json(report))
    for row, one in zip(content["rows"], found, strict=True):
        row["wall"] = _wall(one)
    data.write_text(json.dumps(content, indent=1, ensure_ascii=False) + "\n", "utf-8")
    chart(report, picture)
    return page, data, picture


def chart(report: Report, to: Path) -> None:
    """Bars of how many times as good as its reference each compared row is, with the range within rounds."""
    compared = [(row, row.ratio.within, row.reference) for row in report.rows if row.ratio and row.reference]
    figure = Figure(figsize=(10, 1.6 + 0.3 * len(compared)), layout="constrained")
    axes = figure.subplots()
    labels = [f"{row.measure}: {row.name} / {other.name}" for row, _, other in compared]
    middle = [within.median for _, within, _ in compared]
    below = [within.median - min(within.values) for _, within, _ in compared]
    above = [max(within.values) - within.median for _, within, _ in compared]
    bars = axes.barh(labels, middle, xerr=(below, above), color="#3b6ea8", ecolor="#222222", capsize=2)
    axes.bar_label(bars, [number(value) for value in middle], padding=6, fontsize=7)
    axes.axvline(1, color="#b03030", linewidth=1)
    if compared:
        axes.set_xscale("log")
        axes.xaxis.set_major_formatter("{x:g}")
        axes.xaxis.set_minor_formatter("")
        axes.margins(x=0.15)
    axes.invert_yaxis()
    axes.tick_params(labelsize=7)
    figure.supxlabel("times as good as the peer, by CPU seconds (1: the same); whiskers: single rounds", fontsize=8)
    figure.suptitle(f"{report.conditions['machine']}\n{report.conditions['run']}", fontsize=8)
    figure.savefig(to, dpi=110)


def _clocks(found: Sequence[Found]) -> list[str]:
    lines = ["| what | reference | × by CPU s | spread | × by the clock | spread | apart | counts |", f"|{'---|' * 8}"]
    for one in found:
        cpu, wall, other = one.row.ratio, one.wall_ratio, one.row.reference
        if cpu is None or wall is None or other is None:
            continue
        middles = [
            text
            for within in (cpu.within, wall.within)
            for text in (number(within.median), f"{100 * within.spread:.0f} %")
        ]
        apart = "" if cpu.apart_s is None else f"{cpu.apart_s:.0f} s"
        cells = (f"{one.row.measure}: {one.row.name}", other.name, *middles, apart, "yes" if cpu.counts else "no")
        lines.append(f"| {' | '.join(cells)} |")
    return lines


def _wall(one: Found) -> dict[str, Any]:
    """Wall-clock seconds of a row, and how they compare."""
    ratio = one.wall_ratio
    within = {"median": ratio.within.median, "spread": ratio.within.spread} if ratio else None
    return {"rounds": one.wall_s.values, "ratio": within}
