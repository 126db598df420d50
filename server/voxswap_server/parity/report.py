"""Rows as lines of text, and what they amount to. Knows nothing of what was compared."""

from collections import Counter
from collections.abc import Iterable, Iterator

from voxswap_server.parity.compare import Row, Verdict

_COLUMNS = "{:<34} {:<18} {:>9} {:>7}  {:<8}{}"


def header() -> str:
    return _COLUMNS.format("case", "stage", "error", "equal", "verdict", "").rstrip()


def line(row: Row) -> str:
    """One row. The error is relative to the stage's peak; of int16 it counts steps, of lines of text it is a share."""
    error = "-" if row.error is None else f"{row.error:.1e}" if row.error < 1 else f"{row.error:g}"
    equal = "-" if row.equal is None else "yes" if row.equal else "no"
    return _COLUMNS.format(row.case, row.stage, error, equal, row.verdict, row.note).rstrip()


def summary(rows: Iterable[Row]) -> Iterator[str]:
    """How many of each verdict, the largest error of tensors, and the failures once more."""
    rows = list(rows)
    counts = Counter(row.verdict for row in rows)
    yield ", ".join(f"{counts[verdict]} {verdict}" for verdict in Verdict)
    for row in rows:
        if row.verdict is Verdict.FAIL:
            yield line(row)


def passed(rows: Iterable[Row]) -> bool:
    """Something was compared, and nothing failed."""
    verdicts = {row.verdict for row in rows}
    return Verdict.PASS in verdicts and Verdict.FAIL not in verdicts
