"""Writes the dashboards below deploy/grafana/dashboards, or proves that what is committed is fresh.

Usage: python deploy/grafana/generate.py [--check]

Knows nothing of what they show: that is in `boards.py`.
"""

import argparse
import sys
from collections.abc import Callable, Mapping
from itertools import count
from pathlib import Path
from typing import Any

from boards import BOARDS, Board, Plot, Query
from grafana_foundation_sdk.builders import common, dashboard, heatmap, prometheus, stat, timeseries
from grafana_foundation_sdk.cog.encoder import JSONEncoder
from grafana_foundation_sdk.models.common import StackingMode
from grafana_foundation_sdk.models.dashboard import DataSourceRef, VariableRefresh
from grafana_foundation_sdk.models.prometheus import PromQueryFormat

FOLDER = Path(__file__).resolve().parent / "dashboards"
SOURCE = DataSourceRef(type_val="prometheus", uid="${datasource}")
INSTANCES = 'instance=~"$instance"'
RANGE = "[$__rate_interval]"
HEIGHT = 7
"""Of a plot, in Grafana's units."""


def expression(query: Query) -> str:
    """The query as Prometheus reads it, but for Grafana's own variables."""
    return query.expr.replace("@", INSTANCES).replace("[~]", RANGE)


def _lines() -> Any:
    return timeseries.Panel().fill_opacity(10).show_points("auto").legend(_legend())


def _stack() -> Any:
    return _lines().fill_opacity(40).stacking(common.StackingConfig().mode(StackingMode.NORMAL))


def _number() -> Any:
    return stat.Panel().graph_mode("area")


def _heatmap() -> Any:
    return heatmap.Panel().calculate(False).show_legend()


KINDS: Mapping[str, Callable[[], Any]] = {
    "lines": _lines,
    "stack": _stack,
    "number": _number,
    "heatmap": _heatmap,
}


def _legend() -> Any:
    return common.VizLegendOptions().show_legend(True).display_mode("list").placement("bottom")


def _target(query: Query, plot: Plot, letter: str) -> Any:
    target = prometheus.Dataquery().ref_id(letter).expr(expression(query)).legend_format(query.legend)
    if plot.kind == "heatmap":
        target.format(PromQueryFormat.HEATMAP)
    return target.exemplar(query.exemplars and plot.kind == "lines")


def _panel(plot: Plot, number: int) -> Any:
    panel = KINDS[plot.kind]().id(number).title(plot.title).description(plot.about).unit(plot.unit)
    panel.datasource(SOURCE).span(plot.width).height(HEIGHT if plot.width > 4 else 4)
    for letter, query in zip("ABCDEFGH", plot.queries, strict=False):
        panel.with_target(_target(query, plot, letter))
    return panel


def rendered(board: Board) -> str:
    """The dashboard's JSON."""
    made = (
        dashboard.Dashboard(board.title)
        .uid(board.uid)
        .description(board.about)
        .tags(["voxswap"])
        .refresh("10s")
        .time("now-1h", "now")
        .timezone("browser")
        .tooltip(1)
        .with_variable(dashboard.DatasourceVariable("datasource").label("Prometheus").type("prometheus"))
        .with_variable(
            dashboard.QueryVariable("instance")
            .label("Server")
            .datasource(SOURCE)
            .query("label_values(voxswap_build_info, instance)")
            .refresh(VariableRefresh.ON_TIME_RANGE_CHANGED)
            .multi(True)
            .include_all(True)
            .all_value(".+")
        )
    )
    numbers = count(1)
    for row in board.rows:
        made.with_row(dashboard.Row(row.title).id(next(numbers)))
        for plot in row.plots:
            made.with_panel(_panel(plot, next(numbers)))
    return JSONEncoder(sort_keys=True, indent=2).encode(made.build()) + "\n"


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--check", action="store_true", help="change nothing; fail if a dashboard is not fresh")
    check_only: bool = parser.parse_args().check
    fresh = {FOLDER / f"{board.uid}.json": rendered(board) for board in BOARDS}
    present = {path: path.read_text(encoding="utf-8") for path in FOLDER.glob("*.json")}
    if check_only:
        stale = sorted(path.name for path in fresh.keys() | present.keys() if fresh.get(path) != present.get(path))
        sys.stderr.writelines(f"not fresh, run `make dashboards`: {name}\n" for name in stale)
        return 1 if stale else 0
    for path in present.keys() - fresh.keys():
        path.unlink()
    for path, text in fresh.items():
        path.write_text(text, encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
