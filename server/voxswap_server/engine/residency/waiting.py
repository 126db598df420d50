"""Who of those that wait for room comes next, and who must go for it.

First come, first served; whoever fits beside those that wait may overtake them, but not for ever. Knows nothing of how
generations come and go. Whoever calls holds the lock.
"""

from collections.abc import Sequence

from voxswap_server.engine.residency.arrivals import Arrivals
from voxswap_server.engine.residency.books import Books
from voxswap_server.engine.residency.contract import LoadPlan
from voxswap_server.engine.residency.departures import Departures
from voxswap_server.engine.residency.policy import choose_victims
from voxswap_server.engine.residency.voices import Generation


class WaitingRoom:
    """Admits queued generations to memory."""

    def __init__(self, books: Books, arrivals: Arrivals, departures: Departures) -> None:
        self._books = books
        self._arrivals = arrivals
        self._departures = departures

    def admit(self) -> None:
        """Brings in everybody for whom there is room, or for whom room can be made."""
        self._books.looked_s = self._books.clock()
        blocked: tuple[Generation, LoadPlan] | None = None
        patience_lost = False
        for generation in list(self._books.queue):
            plan = generation.plan
            if plan is None or self._settled_otherwise(generation, plan) or not generation.urgent:
                continue
            yields = _twin(generation, plan) is not None  # it is resident, but it is the turn of others
            idle = self._books.evictable(generation.voice)
            victims = None if yields else self._victims(plan, idle, overtaking=patience_lost)
            if victims is not None:
                self._bring_in(generation, plan, victims)
            elif self._waited_s(generation) >= self._books.config.wait_for_room_s and not self._books.loading_ahead:
                missing_bytes = self._books.store.missing_bytes(plan)
                self._arrivals.fail(generation, self._arrivals.no_room(generation, missing_bytes), counts=False)
            elif not yields:
                patience_lost |= self._waited_s(generation) > self._books.config.wait_for_room_s / 2
                blocked = blocked or (generation, plan)
        if blocked is None:
            self._admit_ahead()
        self._let_yield(blocked)

    def _admit_ahead(self) -> None:
        """Those for whom nobody waits yet: in place of what is idle, but not of what others will want soon too."""
        for generation in list(self._books.queue):
            plan = generation.plan
            if plan is None or generation.urgent:
                continue
            idle = [one for one in self._books.evictable(generation.voice) if not one.awaited]
            victims = self._victims(plan, idle, overtaking=False)
            if victims is not None:
                self._bring_in(generation, plan, victims)

    def _settled_otherwise(self, generation: Generation, plan: LoadPlan) -> bool:
        """Whether nobody waits for it any more, or what they want is resident already, or again."""
        twin = _twin(generation, plan)
        if twin is not None:
            waiting, generation.tickets = generation.tickets, []
            for ticket in waiting:
                if ticket.wants_lease and twin.yielding:
                    generation.tickets.append(ticket)
                else:
                    self._arrivals.grant(ticket, twin)
        if generation.tickets:
            return False
        self._arrivals.dissolve(generation)
        return True

    def _victims(self, plan: LoadPlan, idle: Sequence[Generation], *, overtaking: bool) -> list[Generation] | None:
        """Who must go for it now: nobody if it fits; None if it must wait.

        Args:
            plan: parts of who comes.
            idle: who may go.
            overtaking: somebody before it has waited too long to see others take the room.
        """
        need_bytes = self._need_bytes(plan)
        if self._books.store.missing_bytes(plan) == 0:
            return []
        if overtaking:
            return None
        if need_bytes <= 0:
            return []
        return choose_victims(idle, need_bytes, _keys(plan))

    def _bring_in(self, generation: Generation, plan: LoadPlan, victims: list[Generation]) -> None:
        generation.swapped = bool(victims)
        # It holds its parts before the victims let go of theirs: what both need stays where it is.
        self._arrivals.bring_in(generation, plan)
        for victim in victims:
            self._departures.retire(victim, "lru")

    def _let_yield(self, blocked: tuple[Generation, LoadPlan] | None) -> None:
        """Voices that are always in use never fall idle: those whose turn is over answer no new requests for now."""
        books = self._books
        for generation in books.roster.current():
            generation.yielding = False
        if blocked is not None:
            voice, plan = blocked[0].voice, blocked[1]
            busy = books.roster.busy(books.clock() - books.config.min_resident_s, voice)
            candidates = books.evictable(voice) + busy
            for generation in choose_victims(candidates, self._need_bytes(plan), _keys(plan)) or ():
                generation.yielding = True
        for generation in list(books.queue):  # whoever waited for a voice that need not yield any more
            if generation.plan is not None:
                self._settled_otherwise(generation, generation.plan)

    def _need_bytes(self, plan: LoadPlan) -> int:
        device = self._books.device
        return device.committed_bytes + self._books.store.missing_bytes(plan) - device.budget_bytes

    def _waited_s(self, generation: Generation) -> float:
        since_s = generation.waiting_since_s
        return 0.0 if since_s is None else self._books.clock() - since_s


def _twin(generation: Generation, plan: LoadPlan) -> Generation | None:
    """The resident generation of the same content that answers for the same voice."""
    voice = generation.voice
    current = voice.current if generation is voice.loading else None
    return current if current is not None and current.plan == plan else None


def _keys(plan: LoadPlan) -> frozenset[str]:
    return frozenset(part.key for part in plan.parts)
