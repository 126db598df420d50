"""The report of a comparison on disk: a page, the numbers, and a chart of the ratios.

Knows nothing of peers or of how anything was measured.
"""

import json
from collections.abc import Sequence
from pathlib import Path

from matplotlib.figure import Figure

from bench.peers.compare import TITLES, walls
from voxswap_server.bench.report import Report, Row, as_json, markdown

Found = tuple[Row, list[float]]
_CHART = "peers.png"


def write(folder: Path, report: Report, rows: Sequence[Found]) -> tuple[Path, Path, Path]:
    """Writes peers.md, peers.json and peers.png; returns their paths.

    Args:
        folder: made if it is missing.
        report: what was measured.
        rows: its rows with the wall-clock seconds of their rounds, which only the JSON has.
    """
    folder.mkdir(parents=True, exist_ok=True)
    page, data, picture = folder / "peers.md", folder / "peers.json", folder / _CHART
    lines = markdown(report, TITLES).splitlines()
    page.write_text("\n".join(["# Beside other servers", "", f"![ratios]({_CHART})", *lines[1:]]) + "\n", "utf-8")
    content = json.loads(as_json(report)) | {"wall_clock": walls(rows)}
    data.write_text(json.dumps(content, indent=1, ensure_ascii=False) + "\n", "utf-8")
    chart(report, picture)
    return page, data, picture


def chart(report: Report, to: Path) -> None:
    """Bars of how many times as good as its reference each compared row is, with the range within rounds."""
    compared = [(row, row.ratio, row.reference) for row in report.rows if row.ratio and row.reference]
    figure = Figure(figsize=(9, 1.2 + 0.3 * len(compared)), layout="constrained")
    axes = figure.subplots()
    labels = [f"{TITLES[row.measure].split(':')[0]}: {row.name} / {other.name}" for row, _, other in compared]
    best = [found.best for _, found, _ in compared]
    below = [max(0.0, found.best - found.lowest) for _, found, _ in compared]
    above = [max(0.0, found.highest - found.best) for _, found, _ in compared]
    axes.barh(labels, best, xerr=(below, above), color="#3b6ea8", ecolor="#222222", capsize=2)
    axes.axvline(1, color="#b03030", linewidth=1)
    if compared:
        axes.set_xscale("log")
    axes.invert_yaxis()
    axes.set_xlabel("times as good as the peer, by CPU seconds (1: the same); whiskers: within single rounds")
    axes.set_title(f"{report.conditions['machine']}; {report.conditions['run']}", fontsize=8)
    axes.tick_params(labelsize=7)
    figure.savefig(to, dpi=110)
