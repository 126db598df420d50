"""What residency asks of its surroundings, and what it gives: the loader, the lease, the settings.

What it calls a voice may be a network that voices share: its id has a prefix that no voice can have, it lives by the
same rules and in the same budget, and it is told apart only where voices are counted or listed.

Knows nothing of torch, of files or of networks. A loader that knows them stands behind `VoiceLoader`.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Generic, Protocol, TypeVar

from voxswap_server.domain import CacheState

BundleT = TypeVar("BundleT")
BundleT_co = TypeVar("BundleT_co", covariant=True)


_NETWORK = "network:"


def network_id(name: str) -> str:
    """The id under which a shared network is leased."""
    return _NETWORK + name


def network_name(resident_id: str) -> str | None:
    """The name of the network that has this id; None: it is a voice's."""
    return resident_id.removeprefix(_NETWORK) if resident_id.startswith(_NETWORK) else None


class DeviceOutOfMemory(Exception):
    """The loader could not allocate. It has let go of whatever the failed call had allocated."""


@dataclass(frozen=True, slots=True)
class PartPlan:
    """One content-addressed piece of a voice, not loaded yet."""

    key: str
    """Content address (such as the sha256 of the file): equal keys are the same bytes, held once."""
    size_bytes: int
    """From the header, before loading."""
    source: object = field(default=None, compare=False)
    """Whatever the loader needs to find it; nobody else looks at it."""
    host_copy: bool = True
    """Whether a copy in host memory is worth anything; False: when it leaves the device it is dropped."""


@dataclass(frozen=True, slots=True)
class LoadPlan:
    """What a voice consists of, read at one moment, so that a half-switched voice cannot come of it."""

    revision: str
    """Changes with every change of the voice."""
    parts: tuple[PartPlan, ...]
    source: object = field(default=None, compare=False)
    """Whatever the loader needs to assemble it (such as the manifest)."""


@dataclass(slots=True, eq=False)
class LoadedPart:
    """A part in the memory of one tier."""

    key: str
    value: object
    """What bundles are made of. `VoiceLoader.release` drops it: others may still refer to this object for a moment."""
    size_bytes: int
    """Measured after loading."""


class VoiceLoader(Protocol[BundleT_co]):
    """Brings parts into memory, moves them and gives them back. Called from loader threads, several at once.

    A call that raises leaves no memory behind. `DeviceOutOfMemory` may come from `load_part`, `promote` and
    `assemble`; any other error of theirs fails the load. Typed errors reach the caller as they are.
    """

    @property
    def host_tier(self) -> bool:
        """Whether host memory is other memory than the device's. False (a CPU): evicted parts are dropped."""
        ...

    def plan(self, voice_id: str) -> LoadPlan:
        """What the voice consists of; cheap, from manifest and headers.

        Raises:
            VoiceNotFound: it is not in the store.
            VoiceUnusable: it is, but broken.
        """
        ...

    def load_part(self, part: PartPlan) -> LoadedPart:
        """From disk to the device. Raises if the content is not that of `part.key`."""
        ...

    def demote(self, part: LoadedPart) -> LoadedPart:
        """A copy in host memory; the device copy is released afterwards, by `release`."""
        ...

    def promote(self, part: LoadedPart) -> LoadedPart:
        """A copy on the device; the host copy stays until it is released."""
        ...

    def assemble(self, voice_id: str, plan: LoadPlan, parts: Sequence[LoadedPart]) -> BundleT_co:
        """The immutable bundle over device parts, in the order of the plan.

        It owns no memory of its own: whatever counts is a part. Parts outlive every bundle made of them.
        """
        ...

    def release(self, part: LoadedPart) -> None:
        """Frees a copy, on whichever tier it is: drops `part.value`. No bundle refers to it any more."""
        ...


@dataclass(frozen=True, slots=True)
class Lease(Generic[BundleT]):
    """The right to use a voice's weights until the `with` ends. Never keep the bundle longer."""

    voice_id: str
    bundle: BundleT
    generation: int
    """Counts the loads of this voice: another number, another bundle."""
    revision: str
    cache_state: CacheState
    """Where the voice was when the lease was asked for."""
    load_ms: float
    """How long this lease waited for loading; 0 if the voice was resident."""


@dataclass(frozen=True, slots=True)
class VoiceState:
    """What residency knows of a voice, resident or not."""

    state: str
    """cold, loading, resident, draining or broken."""
    problem: str = ""
    """Why it is broken."""


@dataclass(frozen=True, slots=True)
class Levels:
    """How full one tier is."""

    residents: int
    """Voices."""
    leased_bytes: int
    """Parts of voices and networks in use, shared ones counted once."""
    evictable_bytes: int
    """The rest of what is used: idle, pinned or moving."""
    budget_bytes: int


class ResidencyMetrics(Protocol):
    """Counters that residency feeds. Called outside its lock, from any thread."""

    def lookup(self, cache: str, *, hit: bool) -> None: ...
    def voice_loaded(self, voice_id: str, source: CacheState, seconds: float, *, swapped: bool) -> None:
        """A voice came to the device from `source`; `swapped` when another one had to go for it."""
        ...

    def voice_load_failed(self, voice_id: str, reason: str) -> None: ...
    def voice_evicted(self, voice_id: str, reason: str, age_s: float) -> None:
        """Reason: lru, ttl, memory, admin or reload. Age: since it was loaded."""
        ...

    def network_loaded(self, network: str, source: CacheState, seconds: float) -> None: ...
    def network_load_failed(self, network: str, reason: str) -> None: ...
    def network_evicted(self, network: str, reason: str) -> None: ...


class LookupCounter(Protocol):
    """Any other cache whose look-ups `cache_stats` should tell."""

    @property
    def hits(self) -> int: ...
    @property
    def misses(self) -> int: ...


@dataclass(frozen=True, slots=True)
class ResidencyConfig:
    """Budgets and patience. Sizes in bytes, times in seconds."""

    device_budget_bytes: int = 0
    """0: worked out from the machine when the server starts."""
    host_budget_bytes: int = 0
    """0: what leaves the device is dropped. Not used where the loader has no host tier."""
    idle_ttl_s: float = 900.0
    """A voice that nobody used for so long leaves the device; 0: never for that reason."""
    min_resident_s: float = 1.0
    """A voice is not evicted for another one sooner than this after its load: bounds thrash.

    It is also the turn of a voice that is always in use: after it, while others wait for room, new requests for that
    voice queue behind them.
    """
    wait_for_room_s: float = 30.0
    """How long a load may wait for leases to be returned; 0: `OutOfMemory` at once."""
    retry_after_s: float = 1.0
    """What `OutOfMemory` advises where nothing better is known."""
    backoff_s: float = 1.0
    """After a failed load the next attempt waits so long, and twice as long after each further failure."""
    max_backoff_s: float = 60.0
    loads_ahead: int = 1
    """Voices that are loaded at once for requests whose turn has not come yet, into room that nobody waits for; 0: none
    is."""
    loader_threads: int = 4
    """Parts that load at once."""
    event_backlog: int = 256
    """Events that a slow watcher may be behind before it loses the oldest."""
