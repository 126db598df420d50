"""What a run amounts to, and whether it is good enough.

Knows nothing of servers.
"""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from bench.load.drive import Outcome


@dataclass(frozen=True, slots=True)
class Percentiles:
    p50: float
    p95: float
    p99: float


@dataclass(frozen=True, slots=True)
class Summary:
    """Of the requests that were due after the warm-up."""

    requests: int
    codes: dict[str, int]
    """By gRPC status, most frequent first."""
    ttfa_s: Percentiles | None
    """Of the requests that were answered whole; None: there was none."""
    total_s: Percentiles | None
    longest_gap_s: Percentiles | None
    underrun_share: float
    """Of the answered ones: how many listeners sat through a silence."""
    underrun_s: float
    """Per second of audio."""
    audio_per_s: float
    """Seconds of audio made in a second."""
    cold_share: float
    """How many found their voice out of the device's memory."""
    driver_late_s: float
    """The worst delay of the driver itself."""

    @property
    def failed_share(self) -> float:
        return 1 - self.codes.get("OK", 0) / self.requests if self.requests else 0.0


@dataclass(frozen=True, slots=True)
class Goal:
    """What a rate must hold to count."""

    p95_ttfa_s: float = 0.8
    failed_share: float = 0.01
    underrun_share: float = 0.05

    def held_by(self, summary: Summary) -> bool:
        return (
            summary.ttfa_s is not None
            and summary.ttfa_s.p95 <= self.p95_ttfa_s
            and summary.failed_share <= self.failed_share
            and summary.underrun_share <= self.underrun_share
        )


def summarise(outcomes: Sequence[Outcome], *, warm_up_s: float) -> Summary:
    """Leaves out what was due in the first seconds.

    Args:
        outcomes: of one run, in order of time.
        warm_up_s: what was due before this does not count.
    """
    counted = [outcome for outcome in outcomes if outcome.at_s >= warm_up_s]
    answered = [outcome for outcome in counted if outcome.code == "OK"]
    audio_s = sum(outcome.audio_s for outcome in answered)
    end_s = max((outcome.at_s + outcome.total_s for outcome in counted), default=warm_up_s)
    return Summary(
        requests=len(counted),
        codes=dict(Counter(outcome.code for outcome in counted).most_common()),
        ttfa_s=_percentiles([outcome.ttfa_s for outcome in answered if outcome.ttfa_s is not None]),
        total_s=_percentiles([outcome.total_s for outcome in answered]),
        longest_gap_s=_percentiles([outcome.longest_gap_s for outcome in answered]),
        underrun_share=_share(sum(outcome.underruns > 0 for outcome in answered), len(answered)),
        underrun_s=_share(sum(outcome.underrun_s for outcome in answered), audio_s),
        audio_per_s=_share(audio_s, end_s - warm_up_s),
        cold_share=_share(sum(outcome.cache_state not in ("", "device") for outcome in counted), len(counted)),
        driver_late_s=max((outcome.late_s for outcome in counted), default=0.0),
    )


def _percentiles(values: Sequence[float]) -> Percentiles | None:
    if not values:
        return None
    return Percentiles(*(float(value) for value in np.percentile(values, (50, 95, 99))))


def _share(part: float, whole: float) -> float:
    return part / whole if whole else 0.0
