"""The records of residency: voices, their generations, and who waits for them.

Knows nothing of moves or of threads; whoever calls holds the lock.
"""

from collections.abc import Callable, Iterator
from concurrent.futures import Future
from dataclasses import dataclass, field
from enum import Enum, auto
from typing import Any

from voxswap_server.domain import CacheState, Resident
from voxswap_server.engine.residency.contract import Levels, LoadPlan, network_name
from voxswap_server.engine.residency.ledger import Part
from voxswap_server.engine.residency.parts import PartStore


class Stage(Enum):
    """The life of a generation, in this order; a failed one goes straight to LEAVING."""

    PLANNING = auto()
    QUEUED = auto()
    """Waits for room and holds nothing."""
    LOADING = auto()
    """Holds its parts: room for all of them is promised."""
    ASSEMBLING = auto()
    READY = auto()
    LEAVING = auto()
    """Lets go of its memory."""


@dataclass(eq=False, slots=True)
class Ticket:
    """One request for a voice: a lease, or only that it be resident."""

    voice_id: str
    wants_lease: bool
    pin: bool
    asked_s: float
    future: "Future[Any]"
    generation: "Generation | None" = None
    """What it waits for, then what it leases."""
    granted: bool = False
    closed: bool = False
    """Released or abandoned."""
    ahead: bool = False
    """Nobody waits for it yet, but somebody will."""


@dataclass(eq=False, slots=True)
class Generation:
    """One load of a voice."""

    voice: "Voice"
    stage: Stage = Stage.PLANNING
    plan: LoadPlan | None = None
    parts: dict[str, Part] = field(default_factory=dict)
    bundle: Any = None
    number: int = 0
    """0 until it was READY once."""
    leases: int = 0
    awaited: int = 0
    """Requests that will lease it soon."""
    ahead: bool = False
    """It was brought in before anybody waited for it, and nobody has used it since."""
    tickets: list[Ticket] = field(default_factory=list)
    going: str = ""
    """Why it leaves at its last release; "" while it stays."""
    yielding: bool = False
    """Others wait for its room: it answers no new requests for now."""
    retried: bool = False
    """The device was full while it was assembled."""
    swapped: bool = False
    """Another voice had to go for it."""
    source: CacheState = CacheState.DISK
    queued_s: float = 0.0
    started_s: float = 0.0
    ready_s: float = 0.0
    left_s: float = 0.0
    used_s: float = 0.0
    used: int = 0
    """When it was last of use; larger is later."""
    load_ms: float = 0.0
    own_bytes: int = 0
    """What left with it."""
    pending: list[Part] = field(default_factory=list)
    """Parts that left with it, their memory not free yet."""
    freed: "list[Future[None]]" = field(default_factory=list)
    """Told when its memory is free."""

    @property
    def urgent(self) -> bool:
        """Whether somebody waits for it now."""
        return bool(self._asked)

    @property
    def waiting_since_s(self) -> float | None:
        """Since when somebody has waited for room for it; None: nobody does."""
        asked_s = [ticket.asked_s for ticket in self._asked]
        return max(self.queued_s, min(asked_s)) if asked_s else None

    @property
    def _asked(self) -> list[Ticket]:
        """Those who wait now: for it, or for a look at the store that comes behind it."""
        behind = self.voice.later if self.voice.loading is self else []
        return [ticket for ticket in (*self.tickets, *behind) if not ticket.ahead]


@dataclass(eq=False, slots=True)
class Voice:
    """Everything that is remembered of one voice id."""

    voice_id: str
    current: Generation | None = None
    """Answers requests."""
    loading: Generation | None = None
    """Will be current."""
    retiring: list[Generation] = field(default_factory=list)
    """On their way out."""
    later: list[Ticket] = field(default_factory=list)
    """Wait for a look at the store after the load that is under way."""
    pinned: bool = False
    in_store: bool = True
    """False: the store has it no more, so nothing of it is worth keeping."""
    generations: int = 0
    """How often it was loaded."""
    last_plan: LoadPlan | None = None
    """Of the generation that was evicted last: its parts may be on the host."""

    @property
    def network(self) -> str | None:
        """Its name, if it is a network that voices share."""
        return network_name(self.voice_id)

    @property
    def label(self) -> str:
        """What messages call it."""
        return f"voice {self.voice_id!r}" if self.network is None else f"the shared network {self.network!r}"

    @property
    def forgettable(self) -> bool:
        """Whether nothing of it is in memory and there is nothing to remember."""
        in_use = self.current or self.loading or self.retiring or self.later
        return not in_use and not (self.in_store and self.generations)


class Roster:
    """All voices that residency knows, and what can be told of them."""

    def __init__(self, store: PartStore, clock: Callable[[], float]) -> None:
        self.voices: dict[str, Voice] = {}
        self._store = store
        self._clock = clock

    def current(self) -> Iterator[Generation]:
        return (voice.current for voice in self.voices.values() if voice.current is not None)

    def evictable(self, resident_since_s: float, asking: "Voice | None" = None) -> list[Generation]:
        """Idle, unpinned, resident since then or longer, or never used; those that are awaited last, else least
        recently used first.

        Args:
            resident_since_s: reading of the clock.
            asking: its own current generation serves until the next one is there.
        """
        idle = [
            generation
            for generation in self.current()
            if generation.leases == 0
            and not generation.voice.pinned
            and generation.voice is not asking
            and (generation.ready_s <= resident_since_s or generation.ahead)
        ]
        return sorted(idle, key=lambda generation: (generation.awaited > 0, generation.used))

    def busy(self, resident_since_s: float, asking: Voice) -> list[Generation]:
        """Leased voices, unpinned, resident since then or longer; longest resident first.

        Networks have no turns: whoever waits for a voice may hold them, and would wait for itself.
        """
        leased = [
            generation
            for generation in self.current()
            if generation.leases > 0
            and generation.voice.network is None
            and not generation.voice.pinned
            and generation.voice is not asking
            and generation.ready_s <= resident_since_s
        ]
        return sorted(leased, key=lambda generation: generation.ready_s)

    def residents(self) -> list[Resident]:
        """Every generation of a voice in memory, then every voice whose parts wait on the host."""
        listed = [self.resident(one) for one in self.generations() if one.voice.network is None]
        return listed + [self._on_host(voice, plan) for voice, plan in self._host_voices()]

    def resident(self, generation: Generation) -> Resident:
        voice = generation.voice
        own = sum(part.size_bytes for part in generation.parts.values() if len(part.holders) == 1)
        held = sum(part.size_bytes for part in generation.parts.values())
        return Resident(
            voice_id=voice.voice_id,
            tier="device",
            state=_STATES[generation.stage] if not generation.going else "draining",
            bytes_own=own,
            bytes_shared=held - own,
            leases=generation.leases,
            pinned=voice.pinned,
            generation=generation.number,
            idle_s=self._clock() - generation.used_s if generation.number and not generation.leases else 0.0,
            loads=voice.generations,
            load_ms=generation.load_ms,
        )

    def leased(self) -> list[str]:
        """Who is in use, voices and networks."""
        return [generation.voice.voice_id for generation in self.generations() if generation.leases]

    def networks(self) -> dict[str, int]:
        """Bytes of the shared networks on the device, by name."""
        held: dict[str, int] = {}
        for generation in self.generations():
            if (name := generation.voice.network) is not None:
                held[name] = held.get(name, 0) + sum(part.size_bytes for part in generation.parts.values())
        return held

    def levels(self) -> dict[str, Levels]:
        """How full each tier is."""
        device, host = self._store.device, self._store.host
        leased = {part for generation in self.generations() if generation.leases for part in generation.parts.values()}
        leased_bytes = sum(part.size_bytes for part in leased)
        on_device = sum(1 for generation in self.current() if generation.voice.network is None)
        return {
            "device": Levels(on_device, leased_bytes, device.used_bytes - leased_bytes, device.budget_bytes),
            "host": Levels(sum(1 for _ in self._host_voices()), 0, host.used_bytes, host.budget_bytes),
        }

    def generations(self) -> Iterator[Generation]:
        """Everything that is in memory, on its way there, or on its way out."""
        for voice in self.voices.values():
            for generation in (voice.current, voice.loading, *voice.retiring):
                if generation is not None:
                    yield generation

    def _host_voices(self) -> Iterator[tuple[Voice, LoadPlan]]:
        for voice in self.voices.values():
            plan = voice.last_plan
            if voice.network or voice.current is not None or plan is None:
                continue
            if self._store.on_host(plan):
                yield voice, plan

    def _on_host(self, voice: Voice, plan: LoadPlan) -> Resident:
        copies = [part for key in {part.key for part in plan.parts} if (part := self._store.host.get(key)) is not None]
        own = sum(part.size_bytes for part in copies if part.holders <= {voice.voice_id})
        return Resident(
            voice_id=voice.voice_id,
            tier="host",
            state="resident",
            bytes_own=own,
            bytes_shared=sum(part.size_bytes for part in copies) - own,
            leases=0,
            pinned=voice.pinned,
            generation=voice.generations,
            idle_s=0.0,
            loads=voice.generations,
            load_ms=0.0,
        )


_STATES = {
    Stage.PLANNING: "loading",
    Stage.QUEUED: "loading",
    Stage.LOADING: "loading",
    Stage.ASSEMBLING: "loading",
    Stage.READY: "resident",
    Stage.LEAVING: "draining",
}
