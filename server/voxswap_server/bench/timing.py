"""Interleaved rounds and what they say.

Knows nothing of what is measured. A machine that does other work too slows down for seconds at a time; so the things
that are compared take turns within each round, and a ratio is also formed round by round.
"""

import statistics
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Final, Literal

Sample = Callable[[], float]
"""Does the work once and says what it came to: seconds, or whatever unit its row has."""
Clock = Callable[[], float]
"""Seconds, from any moment on."""
Better = Literal["lower", "higher"]


SHORT_ROUNDS: Final = 4
"""Of what takes less than a second, for each one that is asked for: among many, a disturbance says little."""
MANY_ROUNDS: Final = 12
"""From here on the middle half of them tells how far they lie apart."""


@dataclass(frozen=True, slots=True)
class Series:
    """One number a round."""

    values: tuple[float, ...]
    began_s: tuple[float, ...] = ()
    """When each round of it began, by any clock; () where nobody noted it."""

    def __post_init__(self) -> None:
        if not self.values:
            raise ValueError("a series needs at least one round")

    def map(self, change: Callable[[float], float]) -> "Series":
        """The same rounds in another unit."""
        return self.instead(change(value) for value in self.values)

    def instead(self, values: Iterable[float]) -> "Series":
        """Other numbers that came of the same rounds."""
        return Series(tuple(values), self.began_s)

    @property
    def median(self) -> float:
        return statistics.median(self.values)

    def best(self, better: Better) -> float:
        return min(self.values) if better == "lower" else max(self.values)

    @property
    def spread(self) -> float:
        """How far the rounds lie apart: (highest - lowest) / lowest, or, of many, (third quartile - first) / median.

        Among many there is always one that something disturbed.
        """
        if len(self.values) >= MANY_ROUNDS:
            low, middle, high = statistics.quantiles(self.values, n=4, method="inclusive")
            return (high - low) / middle if middle else 0.0
        lowest = min(self.values)
        return (max(self.values) - lowest) / lowest if lowest else 0.0


STEADY_SPREAD: Final = 0.1
SAME_MINUTE_S: Final = 60.0
FEWEST_ROUNDS: Final = 2
"""One round has no spread."""


@dataclass(frozen=True, slots=True)
class Ratio:
    """How many times as good as its reference something is; 1 is the same, 2 is twice as fast."""

    best: float
    """Best round against best round."""
    within: Series
    """The ratio of each round."""
    apart_s: float | None = None
    """The longest time, of all rounds, between the beginnings of the two that are compared; None: nobody noted it."""

    @property
    def counts(self) -> bool:
        """Whether the rounds say the same, and each compares what was measured within the same minute."""
        near = self.apart_s is not None and self.apart_s < SAME_MINUTE_S
        return near and len(self.within.values) >= FEWEST_ROUNDS and self.within.spread < STEADY_SPREAD


def ratio(own: Series, reference: Series, better: Better) -> Ratio:
    """Compares two series of the same rounds.

    Raises:
        ValueError: they have different numbers of rounds, so they were not measured beside each other.
    """

    def times(mine: float, other: float) -> float:
        return other / mine if better == "lower" else mine / other

    within = [times(mine, other) for mine, other in zip(own.values, reference.values, strict=True)]
    began = list(zip(own.began_s, reference.began_s, strict=True)) if own.began_s and reference.began_s else []
    apart_s = max((abs(mine - other) for mine, other in began), default=None)
    return Ratio(times(own.best(better), reference.best(better)), Series(tuple(within)), apart_s)


def interleaved(work: Mapping[str, Sample], rounds: int, *, warm_up: bool = True) -> dict[str, Series]:
    """Runs every piece of work once a round; the order turns by one from round to round.

    Args:
        work: name -> what to do.
        rounds: how many count.
        warm_up: run everything once before, uncounted.
    """
    names = list(work)
    if warm_up:
        for name in names:
            work[name]()
    values: dict[str, list[float]] = {name: [] for name in names}
    began_s: dict[str, list[float]] = {name: [] for name in names}
    for number in range(rounds):
        first = number % len(names)
        for name in names[first:] + names[:first]:
            began_s[name].append(time.monotonic())
            values[name].append(work[name]())
    return {name: Series(tuple(values[name]), tuple(began_s[name])) for name in names}


def timed(call: Callable[[], object], at_least_s: float = 0.03, clock: Clock | None = None) -> Sample:
    """Seconds of one call: the mean of as many in a row as it takes to fill `at_least_s`."""
    now_s = clock or time.perf_counter

    def sample() -> float:
        begin, calls = now_s(), 0
        while True:
            call()
            calls += 1
            took_s = now_s() - begin
            if took_s >= at_least_s:
                return took_s / calls

    return sample
