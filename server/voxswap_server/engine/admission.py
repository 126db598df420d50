"""Who may be served now: a bounded number at once, a bounded number in the queue, first come first served.

Knows nothing of what is served.
"""

import asyncio
from collections import deque
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Protocol

from voxswap_server.errors import DeadlineExceeded, Overloaded


class AdmissionMetrics(Protocol):
    """Levels of the queue."""

    def running(self, count: int) -> None: ...
    def waiting(self, count: int) -> None: ...


@dataclass(frozen=True, slots=True)
class AdmissionConfig:
    max_running: int = 32
    """Requests that are being spoken at once."""
    max_waiting: int = 128
    """Requests that wait for their turn; one more is refused at once."""


class Admission:
    """A bounded queue before a bounded room. All methods belong to one event loop."""

    def __init__(self, config: AdmissionConfig, metrics: AdmissionMetrics, clock: Callable[[], float]) -> None:
        self._config = config
        self._metrics = metrics
        self._clock = clock
        self._running = 0
        self._queue: deque[asyncio.Future[None]] = deque()
        self._mean_service_s = 1.0

    @asynccontextmanager
    async def turn(self, deadline_s: float | None) -> AsyncIterator[float]:
        """Waits for a turn and yields the seconds waited; the turn ends with the block.

        Raises:
            Overloaded: the queue is full; `retry_after_s` estimates when it will not be.
            DeadlineExceeded: the deadline came first.
        """
        asked_s = self._clock()
        await self._enter(deadline_s)
        self._report()
        started_s = self._clock()
        try:
            yield started_s - asked_s
        finally:
            # A moving average over about ten requests: enough to tell a caller when to come back.
            self._mean_service_s += 0.1 * (self._clock() - started_s - self._mean_service_s)
            self._leave()

    async def _enter(self, deadline_s: float | None) -> None:
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
