"""Runs as a Markdown table and as JSON. Knows nothing of how they came about."""

import json
from collections.abc import Sequence
from dataclasses import asdict

from bench.load.summary import Percentiles, Summary

_COLUMNS = (
    ("asked/s", lambda rate, _: f"{rate:.2f}"),
    ("requests", lambda _, one: str(one.requests)),
    ("first audio p50 / p95 / p99", lambda _, one: _seconds(one.ttfa_s)),
    ("whole p50 / p95 / p99", lambda _, one: _seconds(one.total_s)),
    ("longest gap p50 / p95 / p99", lambda _, one: _seconds(one.longest_gap_s)),
    ("underruns", lambda _, one: f"{100 * one.underrun_share:.1f} %"),
    ("audio s/s", lambda _, one: f"{one.audio_per_s:.2f}"),
    ("cold", lambda _, one: f"{100 * one.cold_share:.0f} %"),
    ("codes", lambda _, one: ", ".join(f"{code} {count}" for code, count in one.codes.items())),
    ("driver late", lambda _, one: f"{1000 * one.driver_late_s:.0f} ms"),
)


def markdown(runs: Sequence[tuple[float, Summary]]) -> str:
    """One row a run; a run is its rate and what it amounts to."""
    lines = [
        "| " + " | ".join(name for name, _ in _COLUMNS) + " |",
        "|" + "---|" * len(_COLUMNS),
        *("| " + " | ".join(cell(rate, one) for _, cell in _COLUMNS) + " |" for rate, one in runs),
    ]
    return "\n".join(lines)


def as_json(runs: Sequence[tuple[float, Summary]]) -> str:
    return json.dumps([{"rate": rate} | asdict(summary) for rate, summary in runs], indent=2) + "\n"


def _seconds(values: Percentiles | None) -> str:
    return "—" if values is None else f"{values.p50:.2f} / {values.p95:.2f} / {values.p99:.2f} s"
