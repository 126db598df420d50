"""Which voices are in the server's memory.

Knows nothing of messages.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime


@dataclass(frozen=True, slots=True)
class Resident:
    """A voice in memory."""

    voice_id: str
    tier: str
    """device or host."""
    state: str
    """loading, resident or draining."""
    bytes_own: int
    """That go if this voice goes."""
    bytes_shared: int
    """That other resident voices use too."""
    leases: int
    """Requests that hold it now."""
    pinned: bool
    model_generation: int
    idle_ms: float
    loads: int
    load_ms: float


@dataclass(frozen=True, slots=True)
class ResidentEvent:
    """One change of residency."""

    kind: str
    """loaded, evicted, load_failed, pinned, unpinned or draining."""
    voice_id: str
    tier: str
    reason: str
    """Of an eviction: lru, ttl, memory, admin or reload. Of a failure: the reason of the error."""
    bytes: int
    duration_ms: float
    at: datetime
    """UTC."""


@dataclass(frozen=True, slots=True)
class Tier:
    tier: str
    bytes_used: int
    bytes_budget: int
    residents: int


@dataclass(frozen=True, slots=True)
class Lookups:
    cache: str
    hits: int
    misses: int


@dataclass(frozen=True, slots=True)
class CacheStats:
    """Counters and levels of every cache of the server."""

    tiers: tuple[Tier, ...]
    lookups: tuple[Lookups, ...]
    loads: int
    load_failures: int
    evictions: Mapping[str, int]
    """By reason."""
    networks: Mapping[str, int]
    """Bytes of the shared networks on the device, by name; they are part of what the tier uses."""


@dataclass(frozen=True, slots=True)
class Health:
    """What a server says of one service, or of itself."""

    service: str
    """"" is the server as a whole."""
    status: str
    """serving, not_serving or service_unknown."""

    @property
    def serving(self) -> bool:
        return self.status == "serving"
