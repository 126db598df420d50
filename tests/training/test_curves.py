"""Curves as tables and a picture: every value arrives, and what was trained twice is told once."""

import csv
import json
import xml.etree.ElementTree as ET
from pathlib import Path

from voxswap_training.curves import DRAWN, read_curve, write_curves


def write_run(runs: Path, name: str, rows: list[dict[str, float]]) -> Path:
    file = runs / name / f"{name}.jsonl"
    file.parent.mkdir(parents=True)
    file.write_text("".join(json.dumps(row) + "\n" for row in rows), "utf-8")
    return file


def test_a_step_that_was_made_again_counts_as_it_was_last(tmp_path: Path) -> None:
    rows = [{"step": 99, "loss": 3.0}, {"step": 199, "loss": 2.0}, {"step": 99, "loss": 2.5}]
    assert read_curve(write_run(tmp_path, "t2s", rows)) == [{"step": 99, "loss": 2.5}, {"step": 199, "loss": 2.0}]


def test_tables_have_all_columns_and_the_picture_a_panel_a_stage(tmp_path: Path) -> None:
    rows = [{"step": 99, "dev_cross_entropy": 4.0}, {"step": 199, "dev_cross_entropy": 2.0, "extra": 1.0}]
    write_run(tmp_path, "t2s", rows)
    write_run(tmp_path, "ecapa", [{"step": 49, "dev_distance": 0.5}])
    assert write_curves(tmp_path, tmp_path / "out") == ["t2s", "ecapa"]
    with (tmp_path / "out" / "t2s.csv").open(newline="") as file:
        assert list(csv.DictReader(file)) == [
            {"step": "99", "dev_cross_entropy": "4.0", "extra": ""},
            {"step": "199", "dev_cross_entropy": "2.0", "extra": "1.0"},
        ]
    drawn = ET.parse(tmp_path / "out" / "curves.svg").getroot()
    lines = [line.attrib["points"].split() for line in drawn.iter("{http://www.w3.org/2000/svg}polyline")]
    assert [len(line) for line in lines] == [2, 1]
    heights = [float(point.split(",")[1]) for point in lines[0]]
    assert heights[0] < heights[1], "a smaller loss is lower"
    titles = [text.text for text in drawn.iter("{http://www.w3.org/2000/svg}text")]
    assert {DRAWN["t2s"][1], DRAWN["ecapa"][1]} <= set(titles)
