"""Which voices are in memory, what they take of it, and what an operator may do about it.

Knows nothing of weights or of how room is made.
"""

from collections.abc import AsyncGenerator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol


@dataclass(frozen=True, slots=True)
class Resident:
    """A voice in memory."""

    voice_id: str
    tier: str
    """device or host."""
    state: str
    """loading, resident, draining."""
    bytes_own: int
    """Bytes that go if this voice goes."""
    bytes_shared: int
    """Bytes it uses that other resident voices use too."""
    leases: int
    pinned: bool
    generation: int
    idle_s: float
    loads: int
    load_ms: float


@dataclass(frozen=True, slots=True)
class ResidentEvent:
    """One change of residency."""

    kind: str
    """loaded, evicted, load_failed, pinned, unpinned, draining; missed where a slow watcher lost events."""
    voice_id: str
    tier: str
    reason: str
    """lru, ttl, memory, admin, reload for evictions; the error's reason for failures; how many were missed; else ""."""
    bytes: int
    duration_ms: float
    at_unix_s: float


@dataclass(frozen=True, slots=True)
class CacheStats:
    """Counters and levels of every cache of the process."""

    bytes_used: Mapping[str, int]
    """By tier."""
    bytes_budget: Mapping[str, int]
    """By tier."""
    residents: Mapping[str, int]
    """By tier."""
    hits: Mapping[str, int]
    """By cache name (voices, networks, prompts, embeddings)."""
    misses: Mapping[str, int]
    loads: int
    load_failures: int
    evictions: Mapping[str, int]
    """By reason."""
    networks: Mapping[str, int] = field(default_factory=dict)
    """Bytes of the shared networks that are on the device, by name; part of what is used there."""


class ModelAdmin(Protocol):
    """Residency, for operators. Every method raises `VoxswapError` classes only."""

    async def load_voice(self, voice_id: str) -> Resident: ...
    async def unload_voice(self, voice_id: str, *, wait: bool = False) -> None: ...
    async def pin_voice(self, voice_id: str) -> Resident: ...
    async def unpin_voice(self, voice_id: str) -> Resident: ...
    async def list_residents(self) -> Sequence[Resident]: ...
    def watch_residents(self) -> AsyncGenerator[ResidentEvent, None]: ...
    async def cache_stats(self) -> CacheStats: ...
