"""How long work tells how far it is. Knows nothing of bars or of what is done."""

from collections.abc import Callable
from typing import Protocol

Progress = Callable[[int, int], None]
"""Called with (bytes done, bytes in all)."""


class StepProgress(Protocol):
    """Work of several steps."""

    def __call__(self, step: str, done: int, total: int) -> None:
        """Called while a step goes on, with the bytes of it that are done and those in all."""
        ...


def silent(step: str, done: int, total: int) -> None:
    """Tells nobody."""


def of_step(progress: StepProgress, step: str) -> Progress:
    """One step's share."""
    return lambda done, total: progress(step, done, total)
