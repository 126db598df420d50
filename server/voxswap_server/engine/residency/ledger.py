"""The bytes of one tier, exactly: what is promised, what is there, what is on its way out.

Knows nothing of voices, of loaders or of threads; whoever calls holds the lock.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field
from enum import Enum, auto

from voxswap_server.engine.residency.contract import LoadedPart, PartPlan


class PartState(Enum):
    """The life of one copy of a part in one tier, in this order."""

    CLAIMED = auto()
    """Room is promised; nothing is there yet."""
    MOVING = auto()
    """It is being loaded or copied here."""
    READY = auto()
    LEAVING = auto()
    """Nobody holds it; its memory is still there."""
    GONE = auto()


@dataclass(eq=False, slots=True)
class Part:
    """One copy of one content in one tier."""

    plan: PartPlan
    size_bytes: int
    """Planned until it is READY, measured from then on."""
    holders: set[object] = field(default_factory=set)
    """Generations on the device; voice ids on the host."""
    state: PartState = PartState.CLAIMED
    loaded: LoadedPart | None = None
    busy: bool = False
    """A call of the loader uses this copy: it must not go now."""
    touched: int = 0
    """When it was last of use; larger is later."""

    @property
    def key(self) -> str:
        return self.plan.key


class Tier:
    """Parts by content, and their bytes.

    `committed_bytes` (claimed, moving, ready) decides who may come; `used_bytes` (moving, ready, leaving) is the memory
    that is really taken and decides when a move may begin. Both stay within the budget, except where a part turns out
    larger than it was planned.
    """

    def __init__(self, name: str, budget_bytes: int) -> None:
        self.name = name
        self.budget_bytes = budget_bytes
        self.committed_bytes = 0
        self.used_bytes = 0
        self._parts: dict[str, Part] = {}
        self._leaving: dict[str, Part] = {}

    def get(self, key: str) -> Part | None:
        """The copy of this content that is here or will be; a leaving one does not count."""
        return self._parts.get(key)

    def parts(self) -> Iterator[Part]:
        return iter(self._parts.values())

    def leaving(self) -> Iterator[Part]:
        return iter(self._leaving.values())

    @property
    def anything_leaving(self) -> bool:
        return bool(self._leaving)

    @property
    def empty(self) -> bool:
        return not self._parts and not self._leaving

    def can_begin(self, part: Part) -> bool:
        """Whether there is room for the bytes of a claimed part now. One content is never here twice."""
        return part.key not in self._leaving and self.used_bytes + part.size_bytes <= self.budget_bytes

    def claim(self, part: Part) -> None:
        self._parts[part.key] = part
        self.committed_bytes += part.size_bytes

    def unclaim(self, part: Part) -> None:
        """CLAIMED -> GONE: nothing was there."""
        del self._parts[part.key]
        self.committed_bytes -= part.size_bytes
        part.state = PartState.GONE

    def begin(self, part: Part) -> None:
        """CLAIMED -> MOVING."""
        part.state = PartState.MOVING
        self.used_bytes += part.size_bytes

    def fall_back(self, part: Part) -> None:
        """MOVING -> CLAIMED: the move failed and left nothing."""
        part.state = PartState.CLAIMED
        self.used_bytes -= part.size_bytes

    def settle(self, part: Part, loaded: LoadedPart) -> None:
        """MOVING -> READY, with its measured size."""
        self.committed_bytes += loaded.size_bytes - part.size_bytes
        self.used_bytes += loaded.size_bytes - part.size_bytes
        part.size_bytes = loaded.size_bytes
        part.loaded = loaded
        part.state = PartState.READY

    def leave(self, part: Part) -> None:
        """READY -> LEAVING."""
        del self._parts[part.key]
        self._leaving[part.key] = part
        self.committed_bytes -= part.size_bytes
        part.state = PartState.LEAVING

    def gone(self, part: Part) -> None:
        """LEAVING -> GONE: its memory is free."""
        del self._leaving[part.key]
        self.used_bytes -= part.size_bytes
        part.loaded = None
        part.state = PartState.GONE
