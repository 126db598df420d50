"""The door of the service: counts who is inside, and closes for good.

Knows nothing of transports: each has a door of its own.
"""

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager

from voxswap_server.errors import Draining


class Door:
    """Requests that do work pass through it. All methods belong to one event loop."""

    def __init__(self) -> None:
        self._closed = False
        self._inside = 0
        self._empty = asyncio.Event()
        self._empty.set()
        self._observers: set[asyncio.Task[object]] = set()

    @contextmanager
    def working(self) -> Iterator[None]:
        """A request that is allowed to end before the server does.

        Raises:
            Draining: the door is closed.
        """
        self._check()
        self._inside += 1
        self._empty.clear()
        try:
            yield
        finally:
            self._inside -= 1
            if not self._inside:
                self._empty.set()

    @contextmanager
    def observing(self) -> Iterator[None]:
        """A request that never ends by itself; closing the door ends it.

        Raises:
            Draining: the door is closed, or was closed meanwhile.
        """
        self._check()
        task = asyncio.current_task()
        if task is None:
            raise RuntimeError("only a task can observe")
        self._observers.add(task)
        try:
            yield
        except asyncio.CancelledError:
            if task in self._observers:
                raise
            task.uncancel()
            raise _draining() from None
        finally:
            self._observers.discard(task)

    async def close(self, grace_s: float) -> bool:
        """Lets nobody in any more, sends observers away, waits for those at work; False if some still are."""
        self._closed = True
        while self._observers:
            self._observers.pop().cancel()
        try:
            async with asyncio.timeout(grace_s):
                await self._empty.wait()
        except TimeoutError:
            return False
        return True

    def _check(self) -> None:
        if self._closed:
            raise _draining()


def _draining() -> Draining:
    return Draining("the server is shutting down; try another one, or again later")
