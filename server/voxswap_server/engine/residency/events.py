"""Residency events to whoever watches: bounded, in order; a slow watcher loses the oldest and is told so.

Knows nothing of residency. Events are published from any thread and read on any event loop.
"""

import asyncio
import threading
from collections import deque
from collections.abc import AsyncGenerator, Callable, Sequence
from contextlib import suppress
from weakref import WeakSet

from voxswap_server.domain import ResidentEvent

MISSED = "missed"
"""Kind of the event that stands where others were lost; its reason says how many."""


class Watcher:
    """One reader. It must be made on the event loop that will read it."""

    def __init__(self, backlog: int) -> None:
        self._loop = asyncio.get_running_loop()
        self._arrived = asyncio.Event()
        self._lock = threading.Lock()
        self._events: deque[ResidentEvent] = deque(maxlen=backlog)
        self._missed = 0

    def push(self, events: Sequence[ResidentEvent]) -> None:
        """Never blocks: the oldest unread events make room."""
        with self._lock:
            self._missed += max(0, len(self._events) + len(events) - (self._events.maxlen or 0))
            self._events.extend(events)

    def wake(self) -> None:
        """Lets `read` go on, from any thread."""
        with suppress(RuntimeError):  # the loop is closed: nobody reads any more
            self._loop.call_soon_threadsafe(self._arrived.set)

    async def read(self) -> list[ResidentEvent]:
        """Waits for events; the first one tells of lost ones, if any were."""
        await self._arrived.wait()
        with self._lock:
            self._arrived.clear()
            events, missed = list(self._events), self._missed
            self._events.clear()
            self._missed = 0
        if missed and events:
            notice = ResidentEvent(MISSED, "", "", f"{missed} events", 0, 0.0, events[0].at_unix_s)
            events.insert(0, notice)
        return events


class EventBus:
    """Fans events out.

    Args:
        backlog: events a watcher may be behind.
    """

    def __init__(self, backlog: int) -> None:
        self._backlog = backlog
        self._lock = threading.Lock()
        self._watchers: WeakSet[Watcher] = WeakSet()  # a reader that was dropped unread is nobody's leak

    def publish(self, events: Sequence[ResidentEvent]) -> Callable[[], None]:
        """Queues events for every watcher, in the order of the calls. The returned call wakes them."""
        with self._lock:
            watchers = list(self._watchers) if events else []
        for watcher in watchers:
            watcher.push(events)

        def wake() -> None:
            for watcher in watchers:
                watcher.wake()

        return wake

    def watch(self) -> AsyncGenerator[ResidentEvent, None]:
        """Events from now on, until the iterator is closed or dropped."""
        watcher = Watcher(self._backlog)
        with self._lock:
            self._watchers.add(watcher)
        return self._read(watcher)

    async def _read(self, watcher: Watcher) -> AsyncGenerator[ResidentEvent, None]:
        while True:
            for event in await watcher.read():
                yield event
