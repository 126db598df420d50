"""The model manager: residency for threads and event loops.

Each method is one step of the state machine, and the wait for its answer. Knows nothing of torch, of what a bundle is,
or of how steps are run.
"""

import asyncio
import time
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Iterator, Mapping, Sequence
from concurrent.futures import Future
from concurrent.futures import TimeoutError as FutureTimeout
from contextlib import asynccontextmanager, contextmanager
from dataclasses import replace
from functools import partial
from typing import Generic, cast

from voxswap_server.domain import CacheStats, Resident, ResidentEvent
from voxswap_server.engine.residency.books import Books
from voxswap_server.engine.residency.contract import (
    BundleT,
    Lease,
    Levels,
    LookupCounter,
    ResidencyConfig,
    ResidencyMetrics,
    VoiceLoader,
    VoiceState,
)
from voxswap_server.engine.residency.core import Residency
from voxswap_server.engine.residency.driver import Driver
from voxswap_server.engine.residency.events import EventBus
from voxswap_server.engine.residency.threads import Submit
from voxswap_server.engine.residency.voices import Ticket
from voxswap_server.errors import DeadlineExceeded, Draining, RequestError, VoxswapError


class ResidencyManager(Generic[BundleT]):
    """Thread-safe LRU and TTL of voices over bytes; implements `domain.ModelAdmin`.

    Args:
        loader: brings parts into memory and makes bundles of them.
        config: budgets and patience.
        metrics: counters, fed outside the lock.
        other_caches: further caches whose look-ups `cache_stats` tells, by name.
        clock: monotonic seconds.
        wall_clock: Unix seconds, for events.
        submit: runs one call of the loader, later or at once; None: threads of its own, begun by `start`. With a
            `submit` of the caller's nothing happens by itself when time passes: call `tick`.
    """

    def __init__(
        self,
        loader: VoiceLoader[BundleT],
        config: ResidencyConfig,
        metrics: ResidencyMetrics,
        *,
        other_caches: Mapping[str, LookupCounter] | None = None,
        clock: Callable[[], float] = time.monotonic,
        wall_clock: Callable[[], float] = time.time,
        submit: Submit | None = None,
    ) -> None:
        self._config = config
        self._core = Residency(Books(loader, config, metrics, clock, wall_clock))
        self._bus = EventBus(config.event_backlog)
        self._other_caches = dict(other_caches or {})
        self._driver = Driver(self._core, self._bus, clock, submit)

    # --- life --------------------------------------------------------------------------------------------------

    def start(self) -> None:
        """Begins the loader threads and the keeper of time. Not needed where `submit` was given."""
        self._driver.start(self._config.loader_threads)

    def close(self, grace_s: float = 30.0) -> bool:
        """Refuses new requests, drains, frees everything and joins the threads. Blocks.

        Returns:
            Whether all was freed; False if leases were still out when the grace ended.
        """
        return self._driver.close(grace_s)

    async def aclose(self, grace_s: float = 30.0) -> bool:
        """As `close`, without blocking the event loop."""
        return await asyncio.to_thread(self.close, grace_s)

    def tick(self) -> float | None:
        """Does what time asks for; returns the reading of the clock at which to do it again, None for never."""
        return self._driver.tick()

    # --- leases ------------------------------------------------------------------------------------------------

    @asynccontextmanager
    async def lease(self, voice_id: str) -> AsyncIterator[Lease[BundleT]]:
        """Leases a voice, loading it if it is not resident. Any number of requests share it.

        Cancelling gives up the wait or the lease; the load itself goes on for whoever else wants the voice.

        Raises:
            VoiceNotFound, VoiceUnusable: as the loader says; not tried again before a back-off has passed.
            OutOfMemory: it does not fit and nothing may go; `retry_after_s` says when to come back.
            Draining: the manager is closing.
        """
        ticket = self._request(voice_id)
        try:
            yield cast("Lease[BundleT]", await asyncio.wrap_future(ticket.future))
        finally:
            self._close_ticket(ticket)

    @contextmanager
    def lease_blocking(self, voice_id: str, *, timeout_s: float | None = None) -> Iterator[Lease[BundleT]]:
        """As `lease`, for threads.

        Raises:
            DeadlineExceeded: the voice was not there within `timeout_s`.
        """
        ticket = self._request(voice_id)
        try:
            try:
                lease = ticket.future.result(timeout_s)
            except FutureTimeout:
                raise DeadlineExceeded(f"voice {voice_id!r} was not loaded within {timeout_s} s") from None
            yield lease
        finally:
            self._close_ticket(ticket)

    @contextmanager
    def lease_later(self, voice_id: str) -> "Iterator[Future[Lease[BundleT]]]":
        """As `lease`, for routines that wait in their own way: the future gives the lease; the block's end returns it.

        Raises:
            VoxswapError: it failed lately. What else goes wrong is the future's error.
        """
        ticket = self._request(voice_id)
        try:
            yield ticket.future
        finally:
            self._close_ticket(ticket)

    @contextmanager
    def ahead(self, voice_id: str) -> Iterator[None]:
        """Within the block somebody waits who will lease this voice: it is loaded if there is room nobody else needs.

        It evicts nothing that is leased or that others said they will want; a lease may evict it. A failure shows when
        the voice is leased. The end of the block gives up what has not begun to load.
        """
        self._driver.require_started()
        try:
            ticket = self._driver.step(partial(self._core.request_ahead, voice_id))
        except Draining:  # whoever leases it is told
            yield
            return
        try:
            yield
        finally:
            self._close_ticket(ticket)

    async def prewarm(self, voice_ids: Sequence[str]) -> Mapping[str, VoxswapError]:
        """Loads voices one after another, so the later ones win where memory is short; returns what failed."""
        failures: dict[str, VoxswapError] = {}
        for voice_id in voice_ids:
            try:
                await self._answer(self._request(voice_id, wants_lease=False))
            except VoxswapError as error:
                failures[voice_id] = error
        return failures

    async def reload(self, voice_id: str) -> Resident | None:
        """The store has changed: forgets failures, and loads the new revision if the voice is resident.

        The old generation serves until the new one is there, and goes on if that one fails.

        Returns:
            What is resident now; None if the voice was not.

        Raises:
            VoxswapError: the new revision could not be loaded.
        """
        if self._driver.locked(partial(self._core.forget_failure, voice_id)).state not in {"resident", "loading"}:
            return None
        return cast("Resident", await self._answer(self._request(voice_id, wants_lease=False, fresh=True)))

    def refresh_blocking(self, voice_id: str, *, timeout_s: float | None = None) -> None:
        """As `reload`, for threads; loads it if it is not resident.

        Raises:
            DeadlineExceeded: it took longer than `timeout_s`.
            VoxswapError: as `reload`.
        """
        ticket = self._request(voice_id, wants_lease=False, fresh=True)
        try:
            ticket.future.result(timeout_s)
        except FutureTimeout:
            raise DeadlineExceeded(f"voice {voice_id!r} was not loaded within {timeout_s} s") from None
        finally:
            self._close_ticket(ticket)

    def relieve_blocking(self, need_bytes: int, *, timeout_s: float = 5.0) -> bool:
        """The device ran out of memory elsewhere: evicts idle voices. Never call it from a loader thread.

        Returns:
            Whether memory was freed.
        """
        futures = self._driver.step(partial(self._core.relieve, need_bytes))
        try:
            for future in futures:
                future.result(timeout_s)
        except FutureTimeout:
            return False
        return bool(futures)

    # --- what is there -----------------------------------------------------------------------------------------

    def voice_state(self, voice_id: str) -> VoiceState:
        """Cold, loading, resident, draining or broken."""
        return self._driver.locked(partial(self._core.voice_state, voice_id))

    def residents(self) -> list[Resident]:
        """Every generation of a voice in memory."""
        return self._driver.locked(self._core.books.roster.residents)

    def networks(self) -> Mapping[str, int]:
        """Bytes of the shared networks on the device, by name."""
        return self._driver.locked(self._core.books.roster.networks)

    def levels(self) -> Mapping[str, Levels]:
        """How full each tier is, by its name; cheap enough for each scrape."""
        return self._driver.locked(self._core.books.roster.levels)

    # --- domain.ModelAdmin -------------------------------------------------------------------------------------

    async def load_voice(self, voice_id: str) -> Resident:
        """Loads it now, whatever failed before, and the newest revision if it is resident already."""
        return await self._admin(voice_id, fresh=True)

    async def unload_voice(self, voice_id: str, *, wait: bool = False) -> None:
        """Frees it, and unpins it; at once if idle, else on its last release. Unknown or cold voices are freed already.

        Args:
            voice_id: which.
            wait: return only when its memory is free.
        """
        futures = self._driver.step(partial(self._core.unload, voice_id))
        if wait:
            await asyncio.gather(*(asyncio.wrap_future(future) for future in futures))

    async def pin_voice(self, voice_id: str) -> Resident:
        """Loads it if need be, and keeps it from eviction."""
        return await self._admin(voice_id, pin=True)

    async def unpin_voice(self, voice_id: str) -> Resident:
        """It may be evicted again.

        Raises:
            RequestError: it is not resident.
        """
        self._driver.step(partial(self._core.unpin, voice_id))
        listed = self.residents()
        for resident in listed:
            if resident.voice_id == voice_id and resident.state == "resident":
                return resident
        names = ", ".join(sorted({one.voice_id for one in listed})) or "none"
        raise RequestError(f"voice {voice_id!r} is not resident; resident voices: {names}", field="voice_id")

    async def list_residents(self) -> Sequence[Resident]:
        return self.residents()

    def watch_residents(self) -> AsyncGenerator[ResidentEvent, None]:
        """Events from this call on; whoever reads too slowly gets an event of kind "missed" in place of the oldest."""
        return self._bus.watch()

    async def cache_stats(self) -> CacheStats:
        stats, others = self._driver.locked(self._core.books.stats), self._other_caches
        return replace(
            stats,
            hits={**stats.hits, **{name: cache.hits for name, cache in others.items()}},
            misses={**stats.misses, **{name: cache.misses for name, cache in others.items()}},
        )

    # --- tickets -----------------------------------------------------------------------------------------------

    def _request(self, voice_id: str, *, wants_lease: bool = True, fresh: bool = False, pin: bool = False) -> Ticket:
        self._driver.require_started()
        return self._driver.step(partial(self._core.request, voice_id, wants_lease=wants_lease, fresh=fresh, pin=pin))

    def _close_ticket(self, ticket: Ticket) -> None:
        self._driver.step(partial(self._core.close_ticket, ticket))

    async def _admin(self, voice_id: str, *, fresh: bool = False, pin: bool = False) -> Resident:
        ticket = self._request(voice_id, wants_lease=False, fresh=fresh, pin=pin)
        return cast("Resident", await self._answer(ticket))

    async def _answer(self, ticket: Ticket) -> object:
        try:
            return await asyncio.wrap_future(ticket.future)
        finally:
            self._close_ticket(ticket)
