"""How generations go: they stop answering, drain, let go of their memory, and only then are forgotten.

Knows nothing of who comes. Whoever calls holds the lock.
"""

from collections.abc import Collection, Sequence
from functools import partial

from voxswap_server.engine.residency.books import Books
from voxswap_server.engine.residency.ledger import PartState
from voxswap_server.engine.residency.policy import choose_victims
from voxswap_server.engine.residency.voices import Generation, Stage, Voice

_KEPT_ON_HOST = frozenset({"lru", "ttl", "memory"})
"""Reasons of eviction after which a voice is likely to come back unchanged."""


class Departures:
    """Retires generations and frees what nobody holds."""

    def __init__(self, books: Books) -> None:
        self._books = books

    def retire(self, generation: Generation, reason: str) -> None:
        """It answers no new requests, and leaves on its last release."""
        voice = generation.voice
        if voice.current is generation:
            voice.current = None
        generation.going = reason
        generation.yielding = False
        if generation not in voice.retiring:
            voice.retiring.append(generation)
        if generation.leases == 0:
            self.leave(generation)
        else:
            self._books.tell("draining", voice, reason)

    def leave(self, generation: Generation) -> None:
        """Lets go of its parts; it is forgotten when their memory is free."""
        books, voice = self._books, generation.voice
        books.dirty = True
        generation.stage = Stage.LEAVING
        generation.bundle = None
        generation.left_s = books.clock()
        keep = books.host.budget_bytes > 0 and voice.in_store and generation.going in _KEPT_ON_HOST
        if keep:
            voice.last_plan = generation.plan
        parts, generation.parts = generation.parts, {}
        keep_for = voice.voice_id if keep else None
        generation.pending = books.store.let_go(generation, parts.values(), keep_for=keep_for)
        generation.own_bytes = sum(part.size_bytes for part in generation.pending)

    def relieve(self, need_bytes: int, keep: Collection[str] = (), asking: Voice | None = None) -> Sequence[Generation]:
        """The device is full whatever the ledger says: the least recently used go, as many as it takes or as can."""
        candidates = self._books.roster.evictable(float("inf"), asking)
        victims = choose_victims(candidates, need_bytes, frozenset(keep))
        victims = candidates if victims is None else victims
        for victim in victims:
            self.retire(victim, "memory")
        return victims

    def expire(self) -> None:
        """Idle voices go when their time is up."""
        ttl_s = self._books.config.idle_ttl_s
        if ttl_s <= 0:
            return
        for generation in self._books.roster.evictable(float("inf")):
            if self._books.clock() - generation.used_s >= ttl_s:
                self.retire(generation, "ttl")

    def finish(self) -> None:
        """Forgets whose memory is free."""
        voices = self._books.roster.voices
        for voice in list(voices.values()):
            for generation in list(voice.retiring):
                # A part that somebody else took up while it was still moving is no longer this generation's.
                gone = all(part.state is PartState.GONE or part.holders for part in generation.pending)
                if generation.stage is Stage.LEAVING and gone:
                    voice.retiring.remove(generation)
                    self._forget(generation)
            if voice.forgettable:
                del voices[voice.voice_id]

    def _forget(self, generation: Generation) -> None:
        books, voice = self._books, generation.voice
        generation.pending = []
        for future in generation.freed:
            books.after(partial(future.set_result, None))
        if generation.number == 0:
            return
        if voice.network is not None:
            books.after(partial(books.metrics.network_evicted, voice.network, generation.going))
            return
        books.evictions[generation.going] += 1
        duration_ms = (books.clock() - generation.left_s) * 1000
        books.tell("evicted", voice, generation.going, size_bytes=generation.own_bytes, duration_ms=duration_ms)
        age_s = generation.left_s - generation.ready_s
        books.after(partial(books.metrics.voice_evicted, voice.voice_id, generation.going, age_s))
