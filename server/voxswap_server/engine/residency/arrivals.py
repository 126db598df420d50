"""How generations come: plan, parts, bundle, and the answers to those who wait.

Knows nothing of who must go for them, nor of threads. Whoever calls holds the lock.
"""

import itertools
from collections.abc import Sequence
from functools import partial

import structlog

from voxswap_server.domain import CacheState
from voxswap_server.engine.residency.books import Books
from voxswap_server.engine.residency.contract import DeviceOutOfMemory, Lease, LoadPlan
from voxswap_server.engine.residency.departures import Departures
from voxswap_server.engine.residency.effects import WorkKind
from voxswap_server.engine.residency.ledger import Part, PartState
from voxswap_server.engine.residency.policy import bare_copy, choose_victims
from voxswap_server.engine.residency.voices import Generation, Stage, Ticket, Voice
from voxswap_server.errors import (
    AssetMissing,
    Draining,
    EngineError,
    OutOfMemory,
    RequestError,
    VoiceNotFound,
    VoiceUnusable,
    VoxswapError,
)

log = structlog.get_logger(__name__)

MIB = 1 << 20


class Arrivals:
    """Loads generations, one at a time for each voice, and grants or refuses the tickets that wait for them."""

    def __init__(self, books: Books, departures: Departures) -> None:
        self._books = books
        self._departures = departures
        self._numbers = itertools.count(1)
        self._network_numbers = itertools.count(1)  # callers are told those of voices: networks leave no gaps there

    def begin(self, voice: Voice, tickets: Sequence[Ticket], *, fresh: bool) -> None:
        """Starts a load.

        Args:
            voice: has none under way.
            tickets: wait for it.
            fresh: forget that it failed lately.

        Raises:
            VoxswapError: it failed lately, and may not be tried again yet.
        """
        books = self._books
        if fresh:
            books.failures.clear(voice.voice_id)
        failure = books.failures.blocking(voice.voice_id)
        if failure is not None and failure.revision is None:
            raise books.failures.refusal(failure)
        books.dirty = True
        books.roster.voices[voice.voice_id] = voice
        voice.loading = generation = Generation(voice)
        for ticket in tickets:
            self.wait(ticket, generation)
        plan = partial(books.loader.plan, voice.voice_id)
        books.store.ask(WorkKind.PLAN, plan, partial(self._planned, generation))

    def bring_in(self, generation: Generation, plan: LoadPlan) -> None:
        """Room is promised: it takes hold of the parts that are there and claims the others."""
        books = self._books
        books.queue.remove(generation)
        books.bringing.append(generation)
        generation.stage = Stage.LOADING
        generation.started_s = books.clock()
        generation.ahead = not generation.urgent
        generation.parts, generation.source = books.store.hold(generation, plan)

    def handle_failed_moves(self) -> None:
        """Parts that could not be brought to the device."""
        failed, self._books.store.failed = self._books.store.failed, []
        for part, error in failed:
            holders = _holders(part)
            if not holders:
                continue
            if not isinstance(error, DeviceOutOfMemory):
                self._blame(part, holders, error)
            elif self._books.store.was_retried(part) or not self._make_room_again(part, holders):
                for holder in holders:
                    self.fail(holder, error)
            else:
                self._books.store.retry_when_room_is_made(part)

    def handle_grown_parts(self) -> None:
        """A part turned out larger than planned: others go for it, or it goes."""
        books = self._books
        grown, books.store.grown = books.store.grown, []
        for part in grown:
            over_bytes = books.device.committed_bytes - books.device.budget_bytes
            holders = _holders(part)
            if over_bytes <= 0 or not holders:
                continue
            keep = frozenset(key for holder in holders for key in holder.parts)
            victims = choose_victims(books.evictable(holders[0].voice), over_bytes, keep)
            for victim in victims or ():
                self._departures.retire(victim, "lru")
            for holder in holders if victims is None else ():
                self.fail(holder, self.no_room(holder, over_bytes), counts=False)

    def assemble(self) -> None:
        """Every generation whose parts are all there becomes a bundle."""
        books = self._books
        for generation in list(books.bringing):
            if generation.stage is not Stage.LOADING or generation.plan is None:
                continue
            if generation.going and not generation.tickets:
                self.dissolve(generation)
                continue
            incomplete = any(part.state is not PartState.READY for part in generation.parts.values())
            if incomplete or (generation.retried and books.device.anything_leaving):
                continue
            generation.stage = Stage.ASSEMBLING
            voice, plan = generation.voice, generation.plan
            loaded = [generation.parts[part.key].loaded for part in plan.parts]
            run = partial(books.loader.assemble, voice.voice_id, plan, [part for part in loaded if part is not None])
            books.store.ask(WorkKind.ASSEMBLE, run, partial(self._assembled, generation))

    def fail(self, generation: Generation, error: BaseException, *, counts: bool = True) -> None:
        """Whoever waits gets the error, or the old generation; what was loaded leaves again.

        Args:
            generation: not READY yet.
            error: what went wrong.
            counts: a defect that should not be tried again at once; not a mere lack of room.
        """
        if generation.stage is Stage.LEAVING:
            return
        books, voice = self._books, generation.voice
        known = self._typed(voice, error)
        # A network that is not installed has not failed: it is looked for again each time.
        absent = voice.network is not None and generation.plan is None and isinstance(known, AssetMissing)
        unasked = bool(generation.tickets) and not generation.urgent  # whoever leases it tries again, and is told
        if not isinstance(known, RequestError | Draining) and not absent and not unasked:
            self._report_failure(voice, known)
            if counts:
                books.failures.record(voice.voice_id, known, generation.plan.revision if generation.plan else None)
        if isinstance(known, VoiceNotFound):
            voice.in_store = False
            voice.last_plan = None
            books.store.forget_on_host(voice.voice_id)
        waiting, generation.tickets = generation.tickets, []
        for ticket in waiting:
            if ticket.wants_lease and voice.current is not None:
                self.grant(ticket, voice.current)
            else:
                ticket.granted = ticket.closed = True
                books.after(partial(ticket.future.set_exception, bare_copy(known)))
        self.dissolve(generation)

    def dissolve(self, generation: Generation) -> None:
        """A generation that never was READY goes."""
        voice = generation.voice
        for among in (self._books.queue, self._books.bringing):
            if generation in among:
                among.remove(generation)
        if voice.loading is generation:
            voice.loading = None
        if generation not in voice.retiring:
            voice.retiring.append(generation)
        self._departures.leave(generation)
        self._look_again(voice)

    def no_room(self, generation: Generation, missing_bytes: int) -> OutOfMemory:
        """Nothing more can go for it now."""
        config, now_s = self._books.config, self._books.clock()
        turns_s = [one.ready_s + config.min_resident_s - now_s for one in self._books.roster.current()]
        return OutOfMemory(
            f"{generation.voice.label} needs {missing_bytes / MIB:.1f} MiB more of the "
            f"{config.device_budget_bytes / MIB:.1f} MiB for voices, and those that are resident are in use, pinned or "
            "only just loaded",
            retry_after_s=min((turn_s for turn_s in turns_s if turn_s > 0), default=config.retry_after_s),
        )

    def wait(self, ticket: Ticket, generation: Generation) -> None:
        ticket.generation = generation
        generation.tickets.append(ticket)

    def grant(self, ticket: Ticket, generation: Generation) -> None:
        """Answers a ticket with a lease on a READY generation, or with what is resident."""
        books, voice = self._books, generation.voice
        source = generation.source if ticket.generation is generation or generation.ahead else CacheState.DEVICE
        if ticket.generation is None:
            load_ms = generation.load_ms if generation.ahead else 0.0
        else:
            load_ms = (books.clock() - ticket.asked_s) * 1000
        ticket.granted = True
        ticket.generation = generation
        generation.ahead &= ticket.ahead
        if ticket.ahead:
            generation.awaited += 1
            books.touch(generation)
        if ticket.pin and not voice.pinned and not generation.going:
            voice.pinned = True
            books.tell("pinned", voice)
        answer: object
        if ticket.wants_lease and generation.plan is not None:
            generation.leases += 1
            books.touch(generation)
            revision = generation.plan.revision
            answer = Lease(voice.voice_id, generation.bundle, generation.number, revision, source, load_ms)
        else:
            answer = books.roster.resident(generation)
        books.after(partial(ticket.future.set_result, answer))

    # --- outcomes ----------------------------------------------------------------------------------------------

    def _planned(self, generation: Generation, plan: LoadPlan | None, error: BaseException | None) -> None:
        books, voice_id = self._books, generation.voice.voice_id
        if plan is None:
            self.fail(generation, error or RuntimeError("the loader returned no plan"))
            return
        generation.plan = plan
        failure = books.failures.blocking(voice_id)
        need_bytes, budget_bytes = books.store.total_bytes(plan), books.device.budget_bytes
        if books.closing:
            self.fail(generation, draining())
        elif failure is not None and failure.revision == plan.revision:
            self.fail(generation, books.failures.refusal(failure), counts=False)
        elif need_bytes > budget_bytes:
            why = f"it needs {need_bytes / MIB:.1f} MiB, and all voices together may use {budget_bytes / MIB:.1f} MiB"
            self.fail(generation, _too_large(generation.voice, why), counts=False)
        else:
            generation.stage = Stage.QUEUED
            generation.queued_s = books.clock()
            books.queue.append(generation)

    def _assembled(self, generation: Generation, bundle: object, error: BaseException | None) -> None:
        if isinstance(error, DeviceOutOfMemory) and not generation.retried:
            relieved = self._departures.relieve(1, generation.parts, generation.voice)
            if relieved or self._books.device.anything_leaving:
                generation.retried = True
                generation.stage = Stage.LOADING
                return
        if error is not None:
            self.fail(generation, error)
        else:
            self._arrive(generation, bundle)

    def _arrive(self, generation: Generation, bundle: object) -> None:
        books, voice, now_s = self._books, generation.voice, self._books.clock()
        books.bringing.remove(generation)
        generation.stage = Stage.READY
        generation.bundle = bundle
        generation.number = next(self._numbers if voice.network is None else self._network_numbers)
        generation.ready_s = now_s
        generation.load_ms = (now_s - generation.started_s) * 1000
        voice.generations += 1
        voice.in_store = True
        books.touch(generation)
        books.failures.clear(voice.voice_id)
        self._report_load(generation)
        waiting, generation.tickets = generation.tickets, []
        for ticket in waiting:
            self.grant(ticket, generation)
        if generation.going:
            self._departures.retire(generation, generation.going)
            return
        old, voice.current, voice.loading = voice.current, generation, None
        if old is not None:
            self._departures.retire(old, "reload")
        self._look_again(voice)

    def _report_load(self, generation: Generation) -> None:
        books, voice, took_s = self._books, generation.voice, generation.load_ms / 1000
        if voice.network is not None:
            books.after(partial(books.metrics.network_loaded, voice.network, generation.source, took_s))
            return
        books.loads += 1
        held_bytes = sum(part.size_bytes for part in generation.parts.values())
        books.tell("loaded", voice, size_bytes=held_bytes, duration_ms=generation.load_ms)
        report = partial(books.metrics.voice_loaded, voice.voice_id, generation.source, took_s)
        books.after(partial(report, swapped=generation.swapped))

    def _report_failure(self, voice: Voice, error: VoxswapError) -> None:
        books = self._books
        if voice.network is not None:
            books.after(partial(books.metrics.network_load_failed, voice.network, error.reason))
            return
        books.load_failures += 1
        books.tell("load_failed", voice, error.reason)
        books.after(partial(books.metrics.voice_load_failed, voice.voice_id, error.reason))

    def _look_again(self, voice: Voice) -> None:
        """Somebody asked for a look at the store while a load was under way, which may have read it before."""
        if voice.later and voice.loading is None:
            tickets, voice.later = voice.later, []
            self.begin(voice, tickets, fresh=True)

    def _blame(self, part: Part, holders: Sequence[Generation], error: BaseException) -> None:
        """The generation whose file it was fails; others have files of their own with the same content."""
        for holder in holders:
            if holder.plan is not None and any(plan is part.plan for plan in holder.plan.parts):
                self.fail(holder, error)
        for heir in _holders(part)[:1]:
            part.plan = next(plan for plan in heir.plan.parts if plan.key == part.key) if heir.plan else part.plan

    def _make_room_again(self, part: Part, holders: Sequence[Generation]) -> bool:
        keep = {key for holder in holders for key in holder.parts}
        relieved = self._departures.relieve(part.size_bytes, keep, holders[0].voice)
        return bool(relieved) or self._books.device.anything_leaving

    def _typed(self, voice: Voice, error: BaseException) -> VoxswapError:
        """What a caller may be told. Without its traceback, which would keep the memory of the failed load alive."""
        if isinstance(error, VoxswapError):
            return bare_copy(error)
        if isinstance(error, DeviceOutOfMemory):
            return OutOfMemory(
                f"the device had no memory left while {voice.label} was loaded",
                retry_after_s=self._books.config.retry_after_s,
            )
        self._books.after(partial(log.error, "load failed", voice=voice.voice_id, exc_info=error))
        return EngineError(f"{voice.label} could not be loaded")


def draining() -> Draining:
    return Draining("the server is shutting down; try another one")


def _too_large(voice: Voice, why: str) -> VoxswapError:
    if voice.network is None:
        return VoiceUnusable(voice.voice_id, why)
    return OutOfMemory(f"{voice.label} cannot be used: {why}")


def _holders(part: Part) -> list[Generation]:
    return [holder for holder in part.holders if isinstance(holder, Generation)]
