"""When a job was in which stage. Knows nothing of what stages are, and of who asks.

One token is one call: a span for each would be a thousand. So the calls of a stage are one stretch of time, from the
first one's start to the last one's end, and how much of it was work.
"""

from dataclasses import dataclass, field

from voxswap_server.tracing import Tracing


@dataclass(slots=True)
class Stretch:
    first_s: float
    """Start of the first call, by the monotonic clock."""
    last_s: float
    """End of the last one."""
    calls: int = 0
    busy_s: float = 0.0
    """Sum of all calls; of those that run with others' too."""


@dataclass(slots=True)
class Timeline:
    stretches: dict[str, Stretch] = field(default_factory=dict)
    """By stage, in the order of their first calls."""

    def add(self, stage: str, start_s: float, end_s: float) -> None:
        """Books one call."""
        stretch = self.stretches.setdefault(stage, Stretch(start_s, end_s))
        stretch.first_s, stretch.last_s = min(stretch.first_s, start_s), max(stretch.last_s, end_s)
        stretch.calls += 1
        stretch.busy_s += end_s - start_s

    def trace(self, tracing: Tracing) -> None:
        """A span for each stage. Only once the job has ended: until then another thread writes here."""
        for stage, stretch in self.stretches.items():
            tracing.past(stage, stretch.first_s, stretch.last_s, calls=stretch.calls, busy_s=stretch.busy_s)
