"""The servers that ours is measured beside, and what each of them can do.

Knows nothing of processes or of ours.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final


@dataclass(frozen=True, slots=True)
class Rival:
    """One peer."""

    package: str
    """As PyPI calls it."""
    worker: Path
    """Runs in its environment."""
    runtime: str
    """The package that computes: its version is told too."""
    loops: Mapping[str, tuple[int, ...]]
    """Its ways to draw tokens -> the batches in which it can."""
    modes: Mapping[str, str]
    """How it can stream: what the report calls it -> its worker's mode."""

    @property
    def rows(self) -> list[int]:
        """All batches, each once."""
        return sorted({rows for able in self.loops.values() for rows in able})


_HERE: Final = Path(__file__).parent
RIVALS: Final[Mapping[str, Rival]] = {
    "cpufast": Rival(
        "gpt-sovits-cpufast",
        _HERE / "cpufast_worker.py",
        "torch",
        loops={"batch": (1, 4, 8), "naive": (1,)},
        modes={"sentences": "sentence", "stream": "stream", "fastest stream": "fast stream"},
    ),
    "genie": Rival(
        "genie-tts",
        _HERE / "genie_worker.py",
        "onnxruntime",
        loops={"its": (1,)},
        modes={"sentences": "sentence"},
    ),
}
