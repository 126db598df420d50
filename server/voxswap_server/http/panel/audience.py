"""Those who watch a session: everything that happens goes to all of them, in order, and nobody waits for the slowest.

Knows nothing of sockets or of what is told.
"""

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from voxswap_server.errors import CapacityError

BACKLOG = 1024
"""Frames that a listener may be behind: some twenty seconds of audio."""

Frame = Mapping[str, Any] | bytes


class TooSlow(CapacityError):
    """The listener did not take what it was sent."""

    reason = "TOO_SLOW"


@dataclass(eq=False, slots=True)
class Listener:
    """One who watches."""

    audio: bool = False
    levels: bool = False
    _frames: "asyncio.Queue[Frame | None]" = field(default_factory=lambda: asyncio.Queue(BACKLOG))
    _is_late: bool = False

    async def next(self) -> Frame | None:
        """What comes next; None is the end.

        Raises:
            TooSlow: there was more than fits.
        """
        if self._is_late:
            raise TooSlow("the listener takes less than it is sent; connect again")
        return await self._frames.get()

    def push(self, frame: Frame) -> None:
        try:
            self._frames.put_nowait(frame)
        except asyncio.QueueFull:
            self._is_late = True

    def leave(self) -> None:
        """The next frame is the end."""
        while self._frames.full():
            self._frames.get_nowait()
        self._frames.put_nowait(None)


class Audience:
    """All who watch."""

    def __init__(self, most: int) -> None:
        self._most = most
        self._listeners: set[Listener] = set()

    def __len__(self) -> int:
        return len(self._listeners)

    def join(self, *, audio: bool, levels: bool) -> Listener:
        """
        Raises:
            CapacityError: there are as many as there may be.
        """
        if len(self._listeners) >= self._most:
            raise CapacityError(f"{self._most} listeners watch this session, which is the limit", retry_after_s=10.0)
        listener = Listener(audio, levels)
        self._listeners.add(listener)
        return listener

    def leave(self, listener: Listener) -> None:
        self._listeners.discard(listener)

    def tell(self, message: Mapping[str, Any]) -> None:
        for listener in self._listeners:
            listener.push(message)

    def play(self, frame: bytes, levels: Mapping[str, Any]) -> None:
        """Audio and how loud it is, to those who asked for it."""
        for listener in self._listeners:
            if listener.levels:
                listener.push(levels)
            if listener.audio:
                listener.push(frame)
