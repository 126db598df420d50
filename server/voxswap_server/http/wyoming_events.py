"""Events of the Wyoming protocol as they come in, and who sends them: within bounds, and still there.

Knows nothing of what the events mean.
"""

import asyncio
import socket
from typing import cast

from wyoming.event import Event, async_read_event

from voxswap_server.http.problems import BodyTooLarge

_KEEPALIVE = {"TCP_KEEPIDLE": 60, "TCP_KEEPINTVL": 20, "TCP_KEEPCNT": 3}
"""Seconds of silence, seconds between questions, how many are not answered; systems lack some of the names."""


async def read_event(reader: asyncio.StreamReader, limit_bytes: int) -> Event | None:
    """The next event; None when the connection has ended, or what comes is not the protocol.

    Raises:
        BodyTooLarge: it announces more than `limit_bytes` of data or of payload.
        EOFError: the connection ended within it.
    """
    try:
        return await async_read_event(cast("asyncio.StreamReader", _Bounded(reader, limit_bytes)))
    except (AttributeError, KeyError, RecursionError, TypeError):  # it is JSON, or nearly, and no event
        return None


def keep_asking(writer: asyncio.StreamWriter) -> None:
    """Has the system end the connection when its other side is gone without a word."""
    connection = writer.get_extra_info("socket")
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    for name, value in _KEEPALIVE.items():
        if hasattr(socket, name):
            connection.setsockopt(socket.IPPROTO_TCP, getattr(socket, name), value)


class _Bounded:
    """What the library asks of a reader. The lines of headers have the reader's own limit."""

    def __init__(self, reader: asyncio.StreamReader, limit_bytes: int) -> None:
        self._reader = reader
        self._limit_bytes = limit_bytes

    async def readline(self) -> bytes:
        return await self._reader.readline()

    async def readexactly(self, count: int) -> bytes:
        if count > self._limit_bytes:
            raise BodyTooLarge(f"an event announces {count} bytes; at most {self._limit_bytes} are taken")
        return await self._reader.readexactly(count)
