"""What the user chose."""

from dataclasses import dataclass

from voxswap_server.bench.voices import VoiceSize


@dataclass(frozen=True, slots=True)
class Options:
    size: VoiceSize = "full"
    quick: bool = False
    """Fewer rounds and shorter work: shows that all is well, and the order of magnitude."""
    rounds: int = 7
    threads: int = 1
    """Of one network call."""
