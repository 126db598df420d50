"""Says which goals of speed are met, from the reports that lie in a folder.

    make bench                                   # measures everything that has a goal, then this
    python -m bench.goals docs/benchmarks        # reads full.json and peers.json, writes goals.md and goals.png

Measures nothing itself; what no report has is listed as not measured.
"""

import argparse
import json
import sys
from pathlib import Path

from bench.goals.judged import Reports, judge
from bench.goals.page import chart, markdown
from bench.goals.table import GOALS, NOTES

_REPORTS = {"peers": "Beside other servers (peers.json)", "full": "By itself (full.json)"}


def main() -> int:
    parser = argparse.ArgumentParser(
        prog="python -m bench.goals", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("folder", type=Path, help="has the reports and gets the page")
    folder: Path = parser.parse_args().folder
    reports: Reports = {
        name: json.loads(file.read_text("utf-8")) for name in _REPORTS if (file := folder / f"{name}.json").exists()
    }
    judged = judge(GOALS, reports)
    conditions = {title: reports[name]["conditions"] for name, title in _REPORTS.items() if name in reports}
    page = markdown(judged, conditions, NOTES)
    (folder / "goals.md").write_text(page, "utf-8")
    chart(judged, folder / "goals.png")
    print(page)
    return 0


if __name__ == "__main__":
    sys.exit(main())
