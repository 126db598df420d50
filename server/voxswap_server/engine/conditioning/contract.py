"""What the parts of the conditioning cache ask of each other, and its settings.

Knows nothing of tensors' meaning, of files or of Redis.
"""

from dataclasses import dataclass, field
from math import inf
from pathlib import Path
from typing import Protocol
from urllib.parse import urlsplit

from voxswap_server.engine.conditioning.entry import Tensors
from voxswap_server.engine.conditioning.keys import Key

REDIS_SCHEMES = ("redis", "rediss", "unix")


@dataclass(frozen=True, slots=True)
class CacheConfig:
    """What is made of reference audio and kept: in memory always, on disk and in a Redis where those are given."""

    memory_bytes: int = 256 * 2**20
    """0: nothing is kept in memory."""
    memory_ttl_s: float = 3600.0
    """0: it stays until something else needs its room."""
    directory: Path | None = None
    """Of the layer on disk; several servers may share it. None: there is no such layer."""
    disk_bytes: int = 4 * 2**30
    """All servers together."""
    disk_timeout_s: float = 1.0
    """A disk that takes longer is left alone for `retry_s`."""
    redis_url: str = field(default="", repr=False)
    """redis://, rediss:// or unix://, with its password if it has one. "": there is no such layer."""
    redis_prefix: str = "voxswap"
    """Before every key of ours."""
    redis_ttl_s: float = 604_800.0
    """0: Redis keeps entries until its own `maxmemory` rule evicts them."""
    redis_timeout_s: float = 0.25
    """A Redis that takes longer for an answer is left alone for `retry_s`."""
    retry_s: float = 5.0
    """How long a layer that failed is not asked; then a probe behind the requests' backs asks whether it is well."""

    def __post_init__(self) -> None:
        for name in ("memory_bytes", "memory_ttl_s", "disk_bytes", "redis_ttl_s"):
            if not 0 <= getattr(self, name) < inf:
                raise ValueError(f"{name} is {getattr(self, name)}; it must be 0 or more")
        for name in ("disk_timeout_s", "redis_timeout_s", "retry_s"):
            if not 0 < getattr(self, name) < inf:
                raise ValueError(f"{name} is {getattr(self, name)}; it must be more than 0")
        if self.redis_url and urlsplit(self.redis_url).scheme not in REDIS_SCHEMES:
            raise ValueError(f"redis_url must begin with {', '.join(f'{name}://' for name in REDIS_SCHEMES)}")


class Layer(Protocol):
    """One place where values are kept. `get` and `put` never raise: at worst nothing is found, or nothing is kept."""

    @property
    def name(self) -> str: ...

    def get(self, key: Key) -> Tensors | None:
        """The value, or None where it is not there, not whole, or cannot be had in time."""
        ...

    def put(self, key: Key, tensors: Tensors) -> None: ...

    def close(self) -> None: ...


class Store(Protocol):
    """Bytes outside of this process, by key. Every method may block and may raise anything; threads may share it."""

    @property
    def name(self) -> str: ...

    def get(self, key: Key) -> bytes | None: ...
    def put(self, key: Key, data: bytes) -> None: ...
    def discard(self, key: Key) -> None: ...

    def probe(self, *, writing: bool) -> None:
        """Raises what `get`, or else `put`, would raise now."""
        ...

    def close(self) -> None: ...


class CacheMetrics(Protocol):
    """Look-ups of one cache: hit, miss, corrupt, unavailable."""

    def looked_up(self, cache: str, result: str) -> None: ...
