"""Who may be served now: a bounded number at once, a bounded number in the queue, first come first served.

Whoever is known to wait in vain is told at once: behind too much work, or with a deadline that is far from enough.
Knows nothing of what is served.
"""

import asyncio
from collections import deque
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractContextManager, asynccontextmanager, nullcontext
from dataclasses import dataclass
from typing import Protocol

from voxswap_server.engine.estimates import Demand
from voxswap_server.errors import DeadlineExceeded, Overloaded


class AdmissionMetrics(Protocol):
    """Levels of the queue."""

    def running(self, count: int) -> None: ...
    def waiting(self, count: int) -> None: ...


Meanwhile = Callable[[], AbstractContextManager[None]]


@dataclass(frozen=True, slots=True)
class AdmissionConfig:
    max_running: int = 32
    """Requests that are being spoken at once."""
    max_waiting: int = 128
    """Requests that wait for their turn; one more is refused at once."""
    max_backlog_s: float = 120.0
    """Seconds of the device, by estimate, that may lie before a new request."""
    deadline_margin: float = 2.0
    """A request is refused at once when its work, by estimate, takes this many times what its deadline leaves."""


class Admission:
    """A bounded queue before a bounded room. All methods belong to one event loop."""

    def __init__(self, config: AdmissionConfig, metrics: AdmissionMetrics, clock: Callable[[], float]) -> None:
        self._config = config
        self._metrics = metrics
        self._clock = clock
        self._running = 0
        self._queue: deque[asyncio.Future[None]] = deque()
        self._mean_service_s = 1.0
        self._demands: set[Demand] = set()
        """Of those who have a turn or wait for one."""

    @asynccontextmanager
    async def turn(
        self, deadline_s: float | None, demand: Demand | None = None, *, meanwhile: Meanwhile = nullcontext
    ) -> AsyncIterator[float]:
        """Waits for a turn and yields the seconds waited; the turn ends with the block.

        Args:
            deadline_s: reading of the clock after which the answer is worth nothing.
            demand: what it asks of the device, by estimate; None: nobody knows, and nothing is refused for it.
            meanwhile: a block to be in while it waits in the queue; whoever need not wait, or is refused, never is.

        Raises:
            Overloaded: the queue is full, or too much work lies before it; `retry_after_s` estimates when it will not.
            DeadlineExceeded: the deadline came first, or is far from what the work takes.
        """
        if demand is None:
            async with self._seated(deadline_s, meanwhile) as waited_s:
                yield waited_s
            return
        self._foresee(demand, deadline_s)
        self._demands.add(demand)
        try:
            async with self._seated(deadline_s, meanwhile) as waited_s:
                yield waited_s
        finally:
            self._demands.remove(demand)

    def _foresee(self, demand: Demand, deadline_s: float | None) -> None:
        """Refuses what the estimates say is hopeless; what is only unlikely is tried."""
        lefts = [other.left_s for other in self._demands]
        if sum(lefts) > self._config.max_backlog_s:
            raise Overloaded(
                f"about {sum(lefts):.0f} s of work lie before this request; the limit is "
                f"{self._config.max_backlog_s:.0f} s",
                retry_after_s=max(0.1, sum(lefts) - self._config.max_backlog_s),
            )
        if deadline_s is None:
            return
        # The device is shared: until this one is done, each other one gets about as much of it.
        needed_s = demand.left_s + sum(min(left, demand.left_s) for left in lefts)
        time_s = deadline_s - self._clock()
        if needed_s > self._config.deadline_margin * time_s:
            raise DeadlineExceeded(
                f"the request would take about {needed_s:.1f} s, and its deadline is in {max(0.0, time_s):.1f} s"
            )

    @asynccontextmanager
    async def _seated(self, deadline_s: float | None, meanwhile: Meanwhile) -> AsyncIterator[float]:
        asked_s = self._clock()
        await self._enter(deadline_s, meanwhile)
        self._report()
        started_s = self._clock()
        try:
            yield started_s - asked_s
        finally:
            # A moving average over about ten requests: enough to tell a caller when to come back.
            self._mean_service_s += 0.1 * (self._clock() - started_s - self._mean_service_s)
            self._leave()

    async def _enter(self, deadline_s: float | None, meanwhile: Meanwhile) -> None:
        if self._running < self._config.max_running and not self._queue:
            self._take_seat()
            return
        if len(self._queue) >= self._config.max_waiting:
            retry_after_s = max(0.1, self._mean_service_s * len(self._queue) / self._config.max_running)
            raise Overloaded(
                f"{self._running} requests are being spoken and {len(self._queue)} wait, which is the limit",
                retry_after_s=retry_after_s,
            )
        waiter: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._queue.append(waiter)
        self._report()
        try:
            async with asyncio.timeout(None if deadline_s is None else deadline_s - self._clock()):
                with meanwhile():
                    await waiter
        except TimeoutError:
            self._forget(waiter)
            raise DeadlineExceeded("the deadline of the request passed while it waited for its turn") from None
        except BaseException:
            self._forget(waiter)
            raise

    def _forget(self, waiter: "asyncio.Future[None]") -> None:
        """A waiter gave up. If it was given a seat at the same moment, the seat goes to the next one."""
        if waiter in self._queue:
            self._queue.remove(waiter)
            self._report()
        elif waiter.done() and not waiter.cancelled() and waiter.exception() is None:
            self._leave()

    def _take_seat(self) -> None:
        self._running += 1

    def _leave(self) -> None:
        self._running -= 1
        while self._queue and self._running < self._config.max_running:
            waiter = self._queue.popleft()
            if not waiter.done():
                self._take_seat()
                waiter.set_result(None)
        self._report()

    def _report(self) -> None:
        self._metrics.running(self._running)
        self._metrics.waiting(len(self._queue))
