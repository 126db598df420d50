"""What is to be reached: each goal, where its number stands, and its two marks.

Knows nothing of how anything is measured or written.
"""

from dataclasses import dataclass
from typing import Final, Literal


@dataclass(frozen=True, slots=True)
class Goal:
    """One number that is to be reached."""

    number: int
    what: str
    report: Literal["peers", "full"]
    """Which report has it: that of `python -m bench.peers` or that of `voxswap bench`."""
    measure: str
    row: str
    reference: str
    """What the row is compared with there; "": nothing, its own value is meant."""
    must: float
    aim: float
    at_most: bool = False
    """The number is the share of what the reference takes (or the row's value): less is better. Else it is how many
    times as good as its reference the row is."""
    unit: str = ""


_UPSTREAM: Final = "gpt-sovits-cpufast"
_LOOP: Final = f"{_UPSTREAM}, batch loop"
_MEMCPY: Final = "memcpy"


def _t2s(number: int, kind: str, marks: dict[int, tuple[float, float]]) -> tuple[Goal, ...]:
    return tuple(
        Goal(number, f"T2S, {kind}, batch {rows}", "peers", "t2s", f"{_rows(rows)}, ours, {kind}", _LOOP, must, aim)
        for rows, (must, aim) in marks.items()
    )


def _rows(count: int) -> str:
    return f"{count} row{'s' if count > 1 else ''}"


def _first(against: str, must: float, aim: float) -> Goal:
    reference = f"{_UPSTREAM}, {against}"
    return Goal(
        5, f"first audio / {against}", "peers", "first audio", "ours, exact", reference, must, aim, at_most=True
    )


GOALS: Final[tuple[Goal, ...]] = (
    *_t2s(1, "exact", {1: (1.5, 1.9), 4: (2.5, 3.1), 8: (2.8, 3.2)}),
    *_t2s(2, "int8", {1: (3.2, 3.5), 4: (4.2, 4.6), 8: (4.2, 4.5)}),
    Goal(3, "decoder, exact", "peers", "decoder", "ours, exact", _UPSTREAM, 1.25, 2),
    Goal(4, "whole request, exact", "peers", "requests", "ours, exact", _UPSTREAM, 1.35, 3),
    Goal(4, "whole request, int8", "peers", "requests", "ours, int8", _UPSTREAM, 1.8, 3),
    _first("fastest stream", 0.6, 0.3),
    _first("sentences", 0.25, 0.12),
    Goal(6, "swap: in memory", "full", "swap", "lease of a voice in memory", "", 1, 1, at_most=True, unit=" ms"),
    Goal(
        6, "swap: disk / memcpy", "full", "swap", "lease of a voice on disk (page cache)", _MEMCPY, 2, 1.5, at_most=True
    ),
    Goal(6, "swap: against upstream's switch", "peers", "swap", "ours, exact", _UPSTREAM, 25, 40),
    Goal(
        7,
        "bandwidth of a step, fp32, 2 threads",
        "full",
        "bandwidth",
        "step of one row, 2 threads",
        "reading",
        0.8,
        0.9,
    ),
    Goal(
        8, "8 requests of one voice", "full", "requests", "8 of one voice at once, all processors", "one after", 1.5, 2
    ),
)
"""A reference is named by how its name begins."""

NOTES: Final = (
    "1 to 6: gpt-sovits-cpufast is upstream's code, faster; [peers.md](peers.md) has every row and genie-tts too.",
    "3: the aim of 2 is meant for a decoder in 8 bits, which is not built; bfloat16 is in [full.md](full.md).",
    "6: on a CPU, a voice in the host's memory is in memory: there is no second copy, so that tier has no row.",
    "6: the lease of a voice on disk is all of it, until it can speak, where a voice of its shape left before.",
    "7, 8 and swaps: [full.md](full.md).",
    "9 needs a GPU, and none was at hand. 10, memory over long runs: [soak.md](soak.md).",
)
