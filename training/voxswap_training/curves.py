"""Stage `curves`: how far each training is, as tables and one picture for the documentation.

Knows nothing of what the columns mean, but for the one of each stage that is drawn.
"""

import csv
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final

DRAWN: Final[Mapping[str, tuple[str, str]]] = {
    "t2s": ("dev_cross_entropy", "T2S: cross-entropy of held-out lines, nats"),
    "acoustic": ("dev_spectra", "acoustic: distance of mel frames of held-out lines"),
    "vocoder": ("dev_mel", "vocoder: mel distance of held-out sound, log units"),
    "source": ("dev_unsteady_made", "source: slip of the phase from frame to frame, cycles"),
    "decoder": ("dev_mel", "decoder: mel distance of held-out lines, log units"),
    "content": ("dev_distance", "content encoder: distance of held-out clips"),
    "ecapa": ("dev_distance", "ECAPA: distance from CAM++ on held-out clips"),
}
"""Of each stage: the column that is drawn, and what it is."""
_WIDTH, _HEIGHT, _MARGIN = 360, 200, 40

Row = Mapping[str, Any]


def read_curve(file: Path) -> list[Row]:
    """The lines that a stage wrote; of a step that was made twice, the later one."""
    rows = [json.loads(line) for line in file.read_text("utf-8").splitlines()]
    return [row for _, row in sorted({row["step"]: row for row in rows}.items())]


def write_table(rows: Sequence[Row], file: Path) -> None:
    """All columns that any row has, as CSV."""
    columns = list(dict.fromkeys(name for row in rows for name in row))
    with file.open("w", encoding="utf-8", newline="") as out:
        writer = csv.DictWriter(out, columns, lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)


def picture(curves: Mapping[str, Sequence[Row]]) -> str:
    """One panel a stage, as SVG."""
    panels = [_panel(index, name, rows) for index, (name, rows) in enumerate(curves.items())]
    height = (len(panels) + 1) // 2 * _HEIGHT
    size = f'width="{2 * _WIDTH}" height="{height}" viewBox="0 0 {2 * _WIDTH} {height}"'
    style = 'font-family="sans-serif" font-size="11" fill="#444"'
    return f'<svg xmlns="http://www.w3.org/2000/svg" {size} {style}>\n' + "\n".join(panels) + "\n</svg>\n"


def write_curves(runs: Path, folder: Path) -> list[str]:
    """`STAGE.csv` of every stage that was trained, and `curves.svg`; returns the stages."""
    found = {name: runs / name / f"{name}.jsonl" for name in DRAWN}
    curves = {name: read_curve(file) for name, file in found.items() if file.exists()}
    folder.mkdir(parents=True, exist_ok=True)
    for name, rows in curves.items():
        write_table(rows, folder / f"{name}.csv")
    (folder / "curves.svg").write_text(picture(curves), "utf-8")
    return list(curves)


def _panel(index: int, name: str, rows: Sequence[Row]) -> str:
    column, title = DRAWN[name]
    points = [(float(row["step"]), float(row[column])) for row in rows if column in row]
    left, top = index % 2 * _WIDTH + _MARGIN, index // 2 * _HEIGHT + 30
    width, height = _WIDTH - 1.5 * _MARGIN, _HEIGHT - 60
    last, highest = max(step for step, _ in points), max(value for _, value in points)
    line = " ".join(
        f"{left + width * step / last:.1f},{top + height * (1 - value / highest):.1f}" for step, value in points
    )
    told = f"step {last:.0f}: {points[-1][1]:.3g}"
    return "\n".join(
        [
            f'<text x="{left}" y="{top - 12}">{title}</text>',
            f'<path d="M{left} {top}V{top + height}H{left + width}" stroke="#aaa" fill="none"/>',
            f'<polyline points="{line}" stroke="#1668a8" stroke-width="1.5" fill="none"/>',
            f'<text x="{left - 4}" y="{top + 4}" text-anchor="end">{highest:.2g}</text>',
            f'<text x="{left - 4}" y="{top + height + 4}" text-anchor="end">0</text>',
            f'<text x="{left + width}" y="{top + height + 14}" text-anchor="end">{told}</text>',
        ]
    )
