"""Voices that are brought in before the turn of the requests that will lease them.

Only as many loads at once as the config allows, in the order in which they were asked for, and only into room that
nobody waits for. What has not begun when its request gives up never begins. Knows nothing of requests. Whoever calls
holds the lock.
"""

from voxswap_server.engine.residency.arrivals import Arrivals
from voxswap_server.engine.residency.books import Books
from voxswap_server.engine.residency.voices import Ticket, Voice
from voxswap_server.errors import VoxswapError


class Ahead:
    """Tickets of those who will want a voice soon."""

    def __init__(self, books: Books, arrivals: Arrivals) -> None:
        self._books = books
        self._arrivals = arrivals
        self._waiting: list[Ticket] = []
        """Their voices are neither in memory nor on their way."""

    def add(self, ticket: Ticket) -> None:
        self._waiting.append(ticket)
        self._books.dirty = True

    def drop(self, ticket: Ticket) -> None:
        """Its request gave up or has its lease."""
        if ticket in self._waiting:
            self._waiting.remove(ticket)

    def clear(self) -> None:
        self._waiting.clear()

    def begin(self) -> None:
        """Begins what may begin; whose voice has come meanwhile awaits it there."""
        for ticket in list(self._waiting):
            voice = self._books.roster.voices.get(ticket.voice_id) or Voice(ticket.voice_id)
            if voice.current is not None:
                self._arrivals.grant(ticket, voice.current)
            elif voice.loading is not None:
                self._arrivals.wait(ticket, voice.loading)
            elif self._under_way() < self._books.config.loads_ahead:
                self._load(voice, ticket)
            else:
                continue
            self._waiting.remove(ticket)

    def _load(self, voice: Voice, ticket: Ticket) -> None:
        try:
            self._arrivals.begin(voice, [ticket], fresh=False)
        except VoxswapError:
            ticket.closed = True  # it failed lately: whoever leases it is told

    def _under_way(self) -> int:
        loading = (voice.loading for voice in self._books.roster.voices.values())
        return sum(1 for generation in loading if generation is not None and not generation.urgent)
