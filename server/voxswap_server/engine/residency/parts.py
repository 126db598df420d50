"""Device and host copies of parts, and the moves between disk, host and device.

Knows nothing of leases, of eviction or of threads: it is told who holds which parts, and asks for calls of the loader.
Whoever calls holds the lock.
"""

import itertools
from collections.abc import Callable, Iterable
from functools import partial
from typing import Any

import structlog
from cachetools import LRUCache

from voxswap_server.domain import CacheState
from voxswap_server.engine.residency.contract import DeviceOutOfMemory, LoadedPart, LoadPlan, PartPlan, VoiceLoader
from voxswap_server.engine.residency.effects import Effects, Work, WorkKind
from voxswap_server.engine.residency.ledger import Part, PartState, Tier

log = structlog.get_logger(__name__)

_REMEMBERED_SIZES = 65_536


class PartStore:
    """Every part in memory, by content.

    Args:
        loader: does the blocking work.
        device: ledger of the tier that bundles are made of.
        host: ledger of the tier behind it; a budget of 0 means that there is none.
    """

    def __init__(self, loader: VoiceLoader[Any], device: Tier, host: Tier) -> None:
        self.device = device
        self.host = host
        self.effects = Effects()
        self.failed: list[tuple[Part, BaseException]] = []
        """Moves to the device that failed; whoever owns the store decides what becomes of their holders."""
        self.grown: list[Part] = []
        """Parts that turned out larger than planned."""
        self._loader = loader
        self._measured: LRUCache[str, int] = LRUCache(_REMEMBERED_SIZES)
        self._retries: set[Part] = set()
        self._demotions: list[tuple[Part, Part]] = []
        self._ticks = itertools.count(1)

    # --- what generations ask for ------------------------------------------------------------------------------

    def size_bytes(self, plan: PartPlan) -> int:
        """Measured if this content was ever here, else planned."""
        return self._measured.get(plan.key, plan.size_bytes)

    def total_bytes(self, plan: LoadPlan) -> int:
        return sum(self.size_bytes(part) for part in distinct(plan))

    def missing_bytes(self, plan: LoadPlan) -> int:
        """Room that a generation of this plan needs beyond what the device is committed to."""
        return sum(self.size_bytes(part) for part in distinct(plan) if self.device.get(part.key) is None)

    def hold(self, holder: object, plan: LoadPlan) -> tuple[dict[str, Part], CacheState]:
        """Joins the parts that are there and claims the others; also says where the farthest of them is."""
        parts: dict[str, Part] = {}
        source = CacheState.DEVICE
        for wanted in distinct(plan):
            part = self.device.get(wanted.key)
            if part is None:
                part = Part(wanted, self.size_bytes(wanted))
                self.device.claim(part)
            part.holders.add(holder)
            parts[wanted.key] = part
            if part.state is not PartState.READY and source is not CacheState.DISK:
                source = CacheState.DISK if self.host.get(wanted.key) is None else CacheState.HOST
        return parts, source

    def let_go(self, holder: object, parts: Iterable[Part], *, keep_for: str | None = None) -> list[Part]:
        """The holder needs them no more; those that nobody holds leave the device.

        Args:
            holder: who held them.
            parts: what it held.
            keep_for: the voice for which copies should stay on the host; None: keep none.

        Returns:
            Those whose memory is not free yet.
        """
        pending = []
        for part in parts:
            part.holders.discard(holder)
            if part.holders:
                continue
            if part.state is PartState.CLAIMED:
                self._unclaim(part)
            elif part.state is PartState.READY:
                self._leave(part, keep_for)
                pending.append(part)
            else:  # still moving: it leaves when it has arrived
                pending.append(part)
        return pending

    def forget_on_host(self, voice_id: str) -> None:
        """Host copies stay only for other voices."""
        for part in list(self.host.parts()):
            part.holders.discard(voice_id)
            self._drop_if_unwanted(part)

    def on_host(self, plan: LoadPlan) -> bool:
        """Whether every part is in memory, though not all on the device."""
        return all(
            self._ready(self.host, part.key) or self._ready(self.device, part.key) for part in distinct(plan)
        ) and any(not self._ready(self.device, part.key) for part in distinct(plan))

    def retry_when_room_is_made(self, part: Part) -> None:
        """The device was full: the next attempt waits until all that is leaving has left."""
        self._retries.add(part)

    def was_retried(self, part: Part) -> bool:
        return part in self._retries

    # --- moves -------------------------------------------------------------------------------------------------

    def begin_moves(self) -> None:
        """Begins every move that there is room for."""
        for entry in list(self._demotions):
            leaving, place = entry
            if place.state is PartState.GONE:
                self._demotions.remove(entry)
                self._release(self.device, leaving)
            elif self.host.can_begin(place):
                self._demotions.remove(entry)
                self._demote(leaving, place)
        for part in list(self.device.parts()):
            waits = part in self._retries and self.device.anything_leaving
            if part.state is PartState.CLAIMED and not waits and self.device.can_begin(part):
                self._bring(part)

    def _bring(self, part: Part) -> None:
        self.device.begin(part)
        copy = self.host.get(part.key)
        if copy is not None and copy.loaded is not None:
            run, kind = partial(self._loader.promote, copy.loaded), WorkKind.PROMOTE
        else:
            copy = None
            run, kind = partial(self._loader.load_part, part.plan), WorkKind.LOAD
        self.ask(kind, run, partial(self._brought, part, copy))

    def _brought(self, part: Part, copy: Part | None, loaded: LoadedPart | None, error: BaseException | None) -> None:
        if loaded is None:
            self.device.fall_back(part)
            self._not_brought(part, copy, error or RuntimeError("the loader returned nothing"))
            return
        self._retries.discard(part)
        self._measured[part.key] = loaded.size_bytes
        if loaded.size_bytes > part.size_bytes:
            self.grown.append(part)
        self.device.settle(part, loaded)
        if copy is not None:
            copy.touched = next(self._ticks)
            self._drop_if_unwanted(copy)
        if not part.holders:
            self._leave(part, None)

    def _not_brought(self, part: Part, copy: Part | None, error: BaseException) -> None:
        bad_copy = copy is not None and not isinstance(error, DeviceOutOfMemory)
        if copy is not None and bad_copy:  # the next attempt reads the disk
            self._log("promotion failed", part, error)
            self._drop(copy)
        if not part.holders:
            self._unclaim(part)
        elif not bad_copy:
            self.failed.append((part, error))

    def _leave(self, part: Part, keep_for: str | None) -> None:
        self.device.leave(part)
        place = self._place_on_host(part, keep_for) if keep_for is not None and part.plan.host_copy else None
        if place is None:
            self._release(self.device, part)
        else:
            self._demotions.append((part, place))

    def _place_on_host(self, part: Part, voice_id: str) -> Part | None:
        """Room for a copy; None if there is one already, or none can be made."""
        copy = self.host.get(part.key)
        if copy is None and not self._make_host_room(part.size_bytes):
            return None
        place = copy or Part(part.plan, part.size_bytes)
        place.holders.add(voice_id)
        place.touched = next(self._ticks)
        if copy is not None:
            return None
        self.host.claim(place)
        return place

    def _make_host_room(self, need_bytes: int) -> bool:
        """Drops host copies: first those that the device has as well, then the least recently used."""
        if need_bytes > self.host.budget_bytes:
            return False
        idle = [part for part in self.host.parts() if part.state is PartState.READY and not self._wanted(part.key)]
        idle.sort(key=lambda part: (not self._ready(self.device, part.key), part.touched))
        lacking_bytes = self.host.committed_bytes + need_bytes - self.host.budget_bytes
        if sum(part.size_bytes for part in idle) < lacking_bytes:
            return False
        for part in idle:
            if lacking_bytes <= 0:
                break
            lacking_bytes -= part.size_bytes
            self._drop(part)
        return True

    def _demote(self, leaving: Part, place: Part) -> None:
        self.host.begin(place)
        loaded = _loaded(leaving)
        self.ask(WorkKind.DEMOTE, partial(self._loader.demote, loaded), partial(self._demoted, leaving, place))

    def _demoted(self, leaving: Part, place: Part, loaded: LoadedPart | None, error: BaseException | None) -> None:
        if loaded is None:
            self._log("demotion failed", leaving, error)
            self.host.fall_back(place)
            self.host.unclaim(place)
        else:
            self.host.settle(place, loaded)
            self._drop_if_unwanted(place)
            if self.host.committed_bytes > self.host.budget_bytes and not self._make_host_room(0):
                self._drop(place)
        self._release(self.device, leaving)

    def _drop_if_unwanted(self, copy: Part) -> None:
        if copy.holders or self._wanted(copy.key):
            return
        if copy.state is PartState.READY:
            self._drop(copy)
        elif copy.state is PartState.CLAIMED:
            self.host.unclaim(copy)

    def _drop(self, copy: Part) -> None:
        self.host.leave(copy)
        self._release(self.host, copy)

    def _release(self, tier: Tier, part: Part) -> None:
        loaded = _loaded(part)
        self.ask(WorkKind.RELEASE, partial(self._loader.release, loaded), partial(self._released, tier, part))

    def _released(self, tier: Tier, part: Part, _result: object, error: BaseException | None) -> None:
        if error is not None:
            self._log("release failed", part, error)
        tier.gone(part)

    def _unclaim(self, part: Part) -> None:
        self._retries.discard(part)
        self.device.unclaim(part)
        copy = self.host.get(part.key)
        if copy is not None:
            self._drop_if_unwanted(copy)

    def _wanted(self, key: str) -> bool:
        """Whether a copy on the host is, or is about to be, the source of a promotion."""
        part = self.device.get(key)
        return part is not None and part.state in {PartState.CLAIMED, PartState.MOVING}

    @staticmethod
    def _ready(tier: Tier, key: str) -> bool:
        part = tier.get(key)
        return part is not None and part.state is PartState.READY

    def ask(self, kind: WorkKind, run: Callable[[], Any], done: Callable[[Any, BaseException | None], None]) -> None:
        """A blocking call of the loader."""
        self.effects.works.append(Work(kind, run, done))

    def _log(self, what: str, part: Part, error: BaseException | None) -> None:
        self.effects.calls.append(partial(log.error, what, part=part.key, exc_info=error))


def distinct(plan: LoadPlan) -> Iterable[PartPlan]:
    """The parts of a plan, each content once."""
    return {part.key: part for part in plan.parts}.values()


def _loaded(part: Part) -> LoadedPart:
    if part.loaded is None:
        raise RuntimeError(f"part {part.key} is {part.state.name}, but nothing of it is in memory")
    return part.loaded
