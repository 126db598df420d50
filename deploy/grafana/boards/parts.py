"""What the dashboards show: a table of rows, plots and queries. Knows nothing of Grafana's JSON.

In a query, `{@}` stands for the labels that choose instances, and `[~]` for the range of a rate.
"""

from dataclasses import dataclass

SECONDS, BYTES, SHARE, PER_SECOND, COUNT = "s", "bytes", "percentunit", "reqps", "short"


@dataclass(frozen=True, slots=True)
class Query:
    expr: str
    legend: str = ""
    exemplars: bool = False
    """Dots that lead to traces."""


@dataclass(frozen=True, slots=True)
class Plot:
    title: str
    about: str
    """What it tells, and what to do about it."""
    unit: str
    queries: tuple[Query, ...]
    kind: str = "lines"
    """lines, stack, number or heatmap."""
    width: int = 8
    """Of 24."""


@dataclass(frozen=True, slots=True)
class Row:
    title: str
    plots: tuple[Plot, ...]


@dataclass(frozen=True, slots=True)
class Board:
    uid: str
    """Name of its file, and its address in Grafana."""
    title: str
    about: str
    rows: tuple[Row, ...]


def quantiles(metric: str, by: str = "", levels: tuple[float, ...] = (0.5, 0.95, 0.99)) -> tuple[Query, ...]:
    """Quantiles of a histogram, one line each, and one for each value of the label `by`."""
    group = f"le, {by}" if by else "le"
    return tuple(
        Query(
            f"histogram_quantile({level}, sum by ({group}) (rate(voxswap_{metric}_bucket{{@}}[~])))",
            f"p{level * 100:g}" + (f" {{{{{by}}}}}" if by else ""),
            exemplars=True,
        )
        for level in levels
    )


def rates(metric: str, *by: str) -> tuple[Query, ...]:
    """How fast a counter grows, for each value of the labels `by`."""
    legend = " ".join(f"{{{{{label}}}}}" for label in by)
    return (Query(f"sum by ({', '.join(by)}) (rate(voxswap_{metric}_total{{@}}[~]))", legend or metric),)
