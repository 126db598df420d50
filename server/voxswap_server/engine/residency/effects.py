"""What a change of residency asks for outside the lock.

Knows nothing of how calls are run or who is told.
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from enum import Enum, auto
from typing import Any

from voxswap_server.domain import ResidentEvent


class WorkKind(Enum):
    """Which call of the loader."""

    PLAN = auto()
    LOAD = auto()
    PROMOTE = auto()
    ASSEMBLE = auto()
    DEMOTE = auto()
    RELEASE = auto()

    @property
    def frees(self) -> bool:
        """It makes room, so it must not stand behind calls that wait for room to be made."""
        return self in {WorkKind.DEMOTE, WorkKind.RELEASE}


@dataclass(eq=False, slots=True)
class Work:
    """One call of the loader, and what to do with its outcome."""

    kind: WorkKind
    run: Callable[[], Any]
    """Blocks; called without the lock."""
    done: Callable[[Any, BaseException | None], None]
    """Called with the lock held: the result, or the error."""


@dataclass(eq=False, slots=True)
class Effects:
    """Collected under the lock, performed after it, in order."""

    events: list[ResidentEvent] = field(default_factory=list)
    calls: list[Callable[[], object]] = field(default_factory=list)
    """Answers to waiters, metrics, log lines."""
    works: list[Work] = field(default_factory=list)
    stirred: bool = False
    """The next moment at which time matters may have changed."""
