"""What the user chose."""

import time
from dataclasses import dataclass

from voxswap_server.bench.timing import Clock
from voxswap_server.bench.voices import VoiceSize


@dataclass(frozen=True, slots=True)
class Options:
    size: VoiceSize = "full"
    quick: bool = False
    """Fewer rounds and shorter work: shows that all is well, and the order of magnitude."""
    rounds: int = 7
    threads: int = 1
    """Of one network call."""
    cpu_time: bool = False
    """Networks and swaps are timed by the seconds that processors spent on them, not by the clock on the wall: what
    others do on the machine disturbs that far less. What threads save is not seen then."""

    @property
    def clock(self) -> Clock:
        return time.process_time if self.cpu_time else time.perf_counter
