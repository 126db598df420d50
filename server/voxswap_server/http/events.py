"""`GET /v1/events`: residency, as it changes.

Knows nothing of how voices are kept in memory. First comes what is resident now, then every change; a watcher that
reads too slowly is told how many it missed, and asks anew.
"""

from contextlib import aclosing
from dataclasses import asdict

from voxswap_server.auth import Scope
from voxswap_server.domain import ModelAdmin
from voxswap_server.door import Door
from voxswap_server.http.calls import Call
from voxswap_server.http.operations import attended
from voxswap_server.http.sockets import Channel, Socket


class Events:
    """The channel of this surface."""

    def __init__(self, admin: ModelAdmin) -> None:
        self._admin = admin

    def channels(self) -> tuple[Channel, ...]:
        scopes = (Scope.METRICS, Scope.ADMIN)
        return (Channel("/v1/events", self.watch, scopes=scopes, passage=Door.observing),)

    async def watch(self, call: Call, socket: Socket) -> None:
        del call
        await socket.open()
        async with aclosing(self._admin.watch_residents()) as events, attended(socket.receive):
            residents = [asdict(resident) for resident in await self._admin.list_residents()]
            await socket.tell({"type": "residents", "residents": residents})
            async for event in events:
                await socket.tell({"type": "resident", **asdict(event)})
