"""Which voices are resident, who may use them, and what happens next: one state machine.

Knows nothing of threads, of asyncio or of torch. Whoever calls holds the lock, then calls `pump`, then performs the
effects without the lock. No method blocks and none calls the loader: blocking calls are asked for as `Work`, and their
outcomes come back as further steps. So every interleaving can be played in a test, one step at a time.
"""

from collections.abc import Iterable
from concurrent.futures import Future
from typing import Any

from voxswap_server.engine.residency.ahead import Ahead
from voxswap_server.engine.residency.arrivals import Arrivals, draining
from voxswap_server.engine.residency.books import Books
from voxswap_server.engine.residency.contract import VoiceState
from voxswap_server.engine.residency.departures import Departures
from voxswap_server.engine.residency.effects import Effects, Work
from voxswap_server.engine.residency.voices import Generation, Ticket, Voice
from voxswap_server.engine.residency.waiting import WaitingRoom
from voxswap_server.errors import CapacityError


class Residency:
    """What can be asked of the state machine.

    Args:
        books: its state, empty.
    """

    def __init__(self, books: Books) -> None:
        self.books = books
        self._departures = Departures(books)
        self._arrivals = Arrivals(books, self._departures)
        self._ahead = Ahead(books, self._arrivals)
        self._waiting = WaitingRoom(books, self._arrivals, self._departures)

    def request(self, voice_id: str, *, wants_lease: bool = True, fresh: bool = False, pin: bool = False) -> Ticket:
        """Asks for a voice. The ticket's future gives a `Lease`, or a `Resident` where no lease is wanted.

        Args:
            voice_id: which.
            wants_lease: else only that it be resident.
            fresh: look at the store again although it may be resident, and load what has changed.
            pin: keep it from eviction from the moment it is resident.

        Raises:
            Draining: residency is closing.
            VoxswapError: a load failed lately and may not be tried again yet.
        """
        books = self.books
        if books.closing:
            raise draining()
        ticket = self._ticket(voice_id, wants_lease=wants_lease, pin=pin)
        voice = books.roster.voices.get(voice_id) or Voice(voice_id)
        current = None if fresh else voice.current
        if current is not None and wants_lease and current.yielding:
            current = None
        if wants_lease:
            hit = current is not None and not current.ahead
            self._count_lookup("voices" if voice.network is None else "networks", hit=hit)
        if current is not None:
            self._arrivals.grant(ticket, current)
        elif voice.loading is None:
            self._arrivals.begin(voice, [ticket], fresh=fresh)
        elif fresh:
            voice.later.append(ticket)
        else:
            self._arrivals.wait(ticket, voice.loading)
        return ticket

    def request_ahead(self, voice_id: str) -> Ticket:
        """Somebody will lease a voice soon: brings it in if there is room that nobody waits for.

        Until the ticket is closed, no other voice that is brought in ahead takes its place. Nothing is told by its
        future: whatever goes wrong shows when the voice is leased.

        Raises:
            Draining: residency is closing.
        """
        if self.books.closing:
            raise draining()
        ticket = self._ticket(voice_id, wants_lease=False, pin=False)
        ticket.ahead = True
        self._ahead.add(ticket)
        return ticket

    def close_ticket(self, ticket: Ticket) -> None:
        """Returns the lease, or stops waiting for it. The shared load goes on. Closing twice does nothing."""
        generation = ticket.generation
        if ticket.ahead and generation is None:
            self._ahead.drop(ticket)
        if ticket.closed or generation is None:
            return
        ticket.closed = True
        if not ticket.granted:
            generation.tickets.remove(ticket)
            self.books.dirty = True
        elif ticket.wants_lease:
            generation.leases -= 1
            self.books.touch(generation)
            if generation.leases == 0:
                self._fell_idle(generation)
        elif ticket.ahead:
            generation.awaited -= 1
            self.books.dirty = True

    def unload(self, voice_id: str) -> "list[Future[None]]":
        """Frees a voice on both tiers, and unpins it: at once if idle, else on its last release.

        Returns:
            Futures that are done when the memory of what was there is free.
        """
        voice = self.books.roster.voices.get(voice_id)
        if voice is None:
            return []
        self.unpin(voice_id)
        if voice.current is not None:
            self._departures.retire(voice.current, "admin")
        if voice.loading is not None:
            # Whoever waits for it is still served; new requests load it again.
            for ticket in voice.later:
                self._arrivals.wait(ticket, voice.loading)
            voice.later = []
            voice.loading.going = "admin"
            voice.retiring.append(voice.loading)
            voice.loading = None
        self.books.store.forget_on_host(voice_id)
        voice.last_plan = None
        self.books.dirty = True
        return [self._told_when_freed(generation) for generation in voice.retiring]

    def unpin(self, voice_id: str) -> None:
        """It may be evicted again."""
        voice = self.books.roster.voices.get(voice_id)
        if voice is not None and voice.pinned:
            voice.pinned = False
            self.books.dirty = True
            self.books.tell("unpinned", voice)

    def relieve(self, need_bytes: int) -> "list[Future[None]]":
        """Evicts idle voices, least recently used first, because the device ran out of memory elsewhere.

        Returns:
            Futures that are done when their memory is free; none if nothing could go.
        """
        return [self._told_when_freed(generation) for generation in self._departures.relieve(need_bytes)]

    def close(self) -> None:
        """No new requests; whoever waits for room is refused, whoever loads is served, and everything drains."""
        self.books.closing = True
        self._ahead.clear()
        for generation in list(self.books.queue):
            self._arrivals.fail(generation, draining())
        for voice_id in list(self.books.roster.voices):
            self.unload(voice_id)

    def voice_state(self, voice_id: str) -> VoiceState:
        """What is known of a voice, resident or not."""
        voice = self.books.roster.voices.get(voice_id)
        failure = self.books.failures.last(voice_id)
        if voice is not None and voice.current is not None:
            return VoiceState("resident")
        if voice is not None and voice.loading is not None:
            return VoiceState("loading")
        if voice is not None and voice.retiring:
            return VoiceState("draining")
        if failure is None or isinstance(failure.error, CapacityError):
            return VoiceState("cold")
        return VoiceState("broken", failure.error.message)

    def forget_failure(self, voice_id: str) -> VoiceState:
        """The next request may load it again at once."""
        self.books.failures.clear(voice_id)
        return self.voice_state(voice_id)

    def conclude(self, work: Work, result: object, error: BaseException | None) -> None:
        """The loader has answered."""
        self.books.dirty = True
        work.done(result, error)

    def tick(self) -> None:
        """Time has passed: idle voices go, waiters lose patience, turns end."""
        self._departures.expire()
        self.books.dirty = True

    def next_deadline_s(self) -> float | None:
        """Reading of the clock at which `tick` has something to do; None: never, as things stand."""
        books, config = self.books, self.books.config
        now_s = books.clock()
        waiting_s = (generation.waiting_since_s for generation in books.queue)
        deadlines = [since_s + config.wait_for_room_s for since_s in waiting_s if since_s is not None]
        if books.loading_ahead:  # its end is awaited first, and is a step of its own
            deadlines = [deadline_s for deadline_s in deadlines if deadline_s > now_s]
        for generation in books.roster.current():
            turn_over_s = generation.ready_s + config.min_resident_s
            # Not "> now": a turn that ended since the last look would wake nobody.
            if books.queue and turn_over_s > books.looked_s:
                deadlines.append(turn_over_s)
            if config.idle_ttl_s > 0 and not generation.voice.pinned:
                # A leased voice is looked at again later, so that its release need not disturb the keeper of time.
                idle_since_s = generation.used_s if generation.leases == 0 else now_s
                deadlines.append(idle_since_s + config.idle_ttl_s)
        return min(deadlines, default=None)

    @property
    def empty(self) -> bool:
        """Nothing is in memory and nothing is on its way."""
        voices: Iterable[Voice] = self.books.roster.voices.values()
        busy = any(voice.current or voice.loading or voice.retiring for voice in voices)
        return not busy and self.books.device.empty and self.books.host.empty

    def pump(self) -> Effects:
        """Does everything that can be done now, and returns what is to be performed without the lock."""
        books = self.books
        stirred = books.dirty
        if books.dirty:
            books.dirty = False
            self._arrivals.handle_failed_moves()
            self._arrivals.handle_grown_parts()
            self._ahead.begin()
            self._waiting.admit()
            self._arrivals.assemble()
            books.store.begin_moves()
            self._departures.finish()
        effects, books.store.effects = books.store.effects, Effects()
        effects.stirred = stirred
        return effects

    def _fell_idle(self, generation: Generation) -> None:
        if generation.going:
            self._departures.leave(generation)
        self.books.dirty |= bool(self.books.queue)

    def _count_lookup(self, among: str, *, hit: bool) -> None:
        books = self.books
        (books.hits if hit else books.misses)[among] += 1
        books.after(lambda: books.metrics.lookup(among, hit=hit))

    def _ticket(self, voice_id: str, *, wants_lease: bool, pin: bool) -> Ticket:
        future: Future[Any] = Future()
        # A running future cannot be cancelled: a waiter that gives up says so by `close_ticket`, under the lock.
        future.set_running_or_notify_cancel()
        return Ticket(voice_id, wants_lease, pin, self.books.clock(), future)

    @staticmethod
    def _told_when_freed(generation: Generation) -> "Future[None]":
        future: Future[None] = Future()
        future.set_running_or_notify_cancel()
        generation.freed.append(future)
        return future
