"""How much memory grows with a count, how sure that is, and whether to call it flat.

Each run has a level of its own (another process), so only what happens within a run counts: the first tenth of a run,
in which caches and the allocator fill up, is left out; the rest is cut into blocks of consecutive samples, for
neighbours say nearly the same and must not count as many; a straight line through the blocks' means, with an intercept
for each run, gives the slope, and three standard errors of it are the spread.

Flat is what, carried on over the goal, grows by less than `LIMIT` of the level even at the upper end of the spread.
Knows nothing of what is counted.
"""

import math
import statistics
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from bench.soak.log import Run, Sample

SETTLING: Final = 0.1
"""Share of each run, by its count, that is left out."""
BLOCKS: Final = 8
"""Of each run."""
LIMIT: Final = 0.02
"""Of the level: what memory may grow by over the goal's count and still be called flat."""
ERRORS: Final = 3.0
"""Standard errors that make up the spread."""
RULE: Final = (
    f"flat: slope + spread, over the goal's count, is at most {LIMIT:.0%} of the median RSS; grows: slope - spread is "
    f"more than that; else open. Spread: {ERRORS:.0f} standard errors over {BLOCKS} blocks a run, the first "
    f"{SETTLING:.0%} of each run left out, each run with a level of its own."
)


class Verdict(StrEnum):
    FLAT = "flat"
    GROWS = "grows"
    OPEN = "open: more samples are needed"


@dataclass(frozen=True, slots=True)
class Growth:
    """Of resident memory."""

    slope_bytes: float
    """Per count."""
    spread_bytes: float
    """Per count, to either side."""
    level_bytes: float
    """Median of the samples that count."""

    def over(self, goal: float) -> tuple[float, float]:
        """Lowest and highest growth in bytes over so many counts."""
        return (self.slope_bytes - self.spread_bytes) * goal, (self.slope_bytes + self.spread_bytes) * goal

    def verdict(self, goal: float) -> Verdict:
        lowest, highest = self.over(goal)
        limit = LIMIT * self.level_bytes
        if highest <= limit:
            return Verdict.FLAT
        return Verdict.GROWS if lowest > limit else Verdict.OPEN


def growth(runs: Sequence[Run]) -> Growth | None:
    """The slope over all runs together; None where there is too little to say how sure it is."""
    settled = [_settled(run) for run in runs]
    points = [[_mean(block) for block in _blocks(samples)] for samples in settled]
    inner = [(x, y) for run in points for x, y in _centred(run)]
    freedom = len(inner) - sum(1 for run in points if run) - 1
    across = sum(x * x for x, _ in inner)
    if freedom < 1 or across == 0:
        return None
    slope = sum(x * y for x, y in inner) / across
    left_over = sum((y - slope * x) ** 2 for x, y in inner)
    spread = ERRORS * math.sqrt(left_over / freedom / across)
    level = statistics.median(sample.rss_bytes for samples in settled for sample in samples)
    return Growth(slope, spread, level)


def _settled(run: Run) -> list[Sample]:
    return [sample for sample in run.samples if sample.count >= SETTLING * run.count and run.count > 0]


def _blocks(samples: Sequence[Sample]) -> Iterator[Sequence[Sample]]:
    """As equal as can be; fewer where there are fewer samples."""
    count = min(BLOCKS, len(samples))
    for number in range(count):
        yield samples[number * len(samples) // count : (number + 1) * len(samples) // count]


def _mean(block: Sequence[Sample]) -> tuple[float, float]:
    return statistics.fmean(one.count for one in block), statistics.fmean(one.rss_bytes for one in block)


def _centred(points: Sequence[tuple[float, float]]) -> Iterator[tuple[float, float]]:
    if not points:
        return
    x0, y0 = (statistics.fmean(values) for values in zip(*points, strict=True))
    for x, y in points:
        yield x - x0, y - y0
