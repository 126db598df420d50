"""What every WebSocket gets: what an HTTP operation gets, as far as a WebSocket can tell it.

Knows nothing of what is said over them. A refusal before the handshake is an HTTP answer with a problem; after it, a
message `{"type": "error"}` with the members of a problem, and then the end.
"""

import json
from collections.abc import Awaitable, Callable, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Any

from starlette.requests import HTTPConnection
from starlette.responses import JSONResponse
from starlette.types import Message, Receive, Send
from starlette.types import Scope as AsgiScope
from starlette.websockets import WebSocket, WebSocketDisconnect, WebSocketState

from voxswap_server.auth import Scope
from voxswap_server.door import Door
from voxswap_server.errors import Cancelled
from voxswap_server.http.calls import Call, open_call, read_deadline
from voxswap_server.http.operations import Surroundings, admit, in_time, told
from voxswap_server.http.problems import MEDIA_TYPE, PLAIN, Problem

PROTOCOL = "voxswap.v1"
CLOSE_CODES: Mapping[int, int] = {429: 1013, 503: 1012, 500: 1011}
"""By HTTP status: try again later, service restart, internal error. All others are 1008, policy violation."""
POLICY_VIOLATION = 1008
NORMAL = 1000

SocketHandler = Callable[[Call, "Socket"], Awaitable[None]]


@dataclass(frozen=True, slots=True)
class Channel:
    """One path of WebSockets."""

    path: str
    handler: SocketHandler
    scopes: tuple[Scope, ...] = (Scope.SPEAK,)
    passage: Callable[[Door], AbstractContextManager[None]] = Door.working


class Socket:
    """One WebSocket, with JSON and binary frames."""

    def __init__(self, socket: WebSocket, call: Call) -> None:
        self._socket = socket
        self._call = call
        self.status = 0
        """Of HTTP, for the log: 101 once it is open, then that of a refusal."""

    @property
    def query(self) -> Mapping[str, str]:
        return self._socket.query_params

    async def open(self) -> None:
        """Shakes hands."""
        offered = self._socket.scope.get("subprotocols", [])
        headers = [(name.encode(), value.encode()) for name, value in self._call.headers.items()]
        await self._socket.accept(PROTOCOL if PROTOCOL in offered else None, headers)
        self.status = 101

    async def tell(self, message: Mapping[str, Any]) -> None:
        """
        Raises:
            Cancelled: the caller is gone.
        """
        await self._send({"type": "websocket.send", "text": json.dumps(message, ensure_ascii=False)})

    async def send(self, data: bytes) -> None:
        """
        Raises:
            Cancelled: the caller is gone.
        """
        await self._send({"type": "websocket.send", "bytes": data})

    async def receive(self) -> Message:
        """The next message of ASGI, for those who only wait for the end."""
        return await self._socket.receive()

    async def hear(self) -> str | bytes | None:
        """The next frame; None when the caller has closed."""
        if self._socket.client_state is WebSocketState.DISCONNECTED:
            return None
        message = await self._socket.receive()
        if message["type"] == "websocket.disconnect":
            return None
        text: str | None = message.get("text")
        return text if text is not None else bytes(message.get("bytes") or b"")

    async def close(self) -> None:
        if self._is_open():
            await self._socket.close(NORMAL)

    async def refuse(self, problem: Problem) -> None:
        """Tells of an error, and closes."""
        if self.status == 0:
            self.status = problem.status
            headers = dict(problem.headers) | self._call.headers
            await self._socket.send_denial_response(JSONResponse(problem.document, problem.status, headers, MEDIA_TYPE))
        elif self._is_open():
            self.status = problem.status
            await self.tell(problem.document | {"type": "error", "error_type": problem.document["type"]})
            await self._socket.close(CLOSE_CODES.get(problem.status, POLICY_VIOLATION), problem.document["reason"])

    def _is_open(self) -> bool:
        states = (self._socket.client_state, self._socket.application_state)
        return all(state is WebSocketState.CONNECTED for state in states)

    async def _send(self, message: dict[str, Any]) -> None:
        try:
            await self._socket.send(message)
        except (WebSocketDisconnect, RuntimeError, OSError) as gone:
            raise Cancelled("the caller is gone") from gone


class SocketEndpoint:
    """A channel as an ASGI application."""

    def __init__(self, channel: Channel, around: Surroundings) -> None:
        self._channel = channel
        self._around = around

    async def __call__(self, scope: AsgiScope, receive: Receive, send: Send) -> None:
        channel = self._channel
        call = open_call(f"WEBSOCKET {channel.path}", HTTPConnection(scope), self._around.clock)
        websocket = WebSocket(scope, receive, send)
        await websocket.receive()  # the handshake; nothing but it can come first
        socket = Socket(websocket, call)
        async with told(call, socket, PLAIN, self._around, channel.passage):
            admit(call, channel.scopes, self._around)
            read_deadline(call)
            async with in_time(call, self._around.clock):
                await channel.handler(call, socket)
            await socket.close()
