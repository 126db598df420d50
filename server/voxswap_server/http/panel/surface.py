"""`/v1/panel/...`: actions over plain HTTP, and a WebSocket that shows and plays a session.

Knows nothing of what a session does.
"""

import asyncio
import re
from collections.abc import Hashable, Mapping
from functools import partial
from typing import Any

from starlette.responses import JSONResponse
from starlette.types import ASGIApp

from voxswap_server.domain import VoiceLibrary
from voxswap_server.door import Door
from voxswap_server.errors import RequestError, VoxswapError
from voxswap_server.http.bodies import json_object
from voxswap_server.http.calls import Call
from voxswap_server.http.operations import Operation
from voxswap_server.http.panel.actions import ACTIONS, act
from voxswap_server.http.panel.audience import Listener
from voxswap_server.http.panel.session import PanelSession
from voxswap_server.http.panel.sessions import Sessions
from voxswap_server.http.problems import problem_of
from voxswap_server.http.sockets import Channel, Socket

NAME = re.compile(r"[A-Za-z0-9_-]{1,64}\Z")
DEFAULT_NAME = "main"
YES = frozenset({"1", "true", "yes", "on"})


class Panel:
    """The operations and the channel of this surface."""

    def __init__(self, sessions: Sessions, library: VoiceLibrary) -> None:
        self._sessions = sessions
        self._library = library

    def operations(self) -> tuple[Operation, ...]:
        # A path for each action: the metrics tell them apart, and nobody makes up new ones.
        handlers = {name: partial(self.act, name=name) for name in ACTIONS}
        return tuple(Operation(f"/v1/panel/{name}", {"GET": one, "POST": one}) for name, one in handlers.items())

    def channels(self) -> tuple[Channel, ...]:
        return (Channel("/v1/panel/socket", self.watch, passage=Door.observing),)

    async def act(self, call: Call, name: str) -> ASGIApp:
        given = dict(call.connection.query_params) | (json_object(call.body) if call.body.strip() else {})
        session = self._session(call, given.pop("session", DEFAULT_NAME))
        return JSONResponse(await act(session, name, given, self._library))

    async def watch(self, call: Call, socket: Socket) -> None:
        """Everything that happens in a session, from its present state on; frames that come are actions."""
        session = self._session(call, socket.query.get("session", DEFAULT_NAME))
        asked = {name: socket.query.get(name, "").lower() in YES for name in ("audio", "levels")}
        listener = session.audience.join(**asked)
        try:
            await socket.open()
            await socket.tell(session.state())
            obeying = asyncio.create_task(self._obey(call, session, socket, listener))
            try:
                while (frame := await listener.next()) is not None:
                    await (socket.send(frame) if isinstance(frame, bytes) else socket.tell(frame))
            finally:
                obeying.cancel()
                await asyncio.wait({obeying})
            if not obeying.cancelled():
                obeying.result()
        finally:
            session.audience.leave(listener)

    async def _obey(self, call: Call, session: PanelSession, socket: Socket, listener: Listener) -> None:
        """Does what the listener asks until it goes away."""
        try:
            while (frame := await socket.hear()) is not None:
                listener.push(await self._answer(call, session, frame))
        finally:
            listener.leave()

    async def _answer(self, call: Call, session: PanelSession, frame: str | bytes) -> Mapping[str, Any]:
        """What becomes of one frame; a mistake of one listener is told to that one, and ends nothing."""
        asked: dict[str, Any] = {}
        try:
            if isinstance(frame, bytes):
                raise RequestError("actions are text frames with a JSON object")
            asked = json_object(frame.encode("utf-8", "surrogatepass"))
            given = {name: value for name, value in asked.items() if name not in {"action", "id"}}
            done = await act(session, str(asked.get("action", "")), given, self._library)
            return {"type": "done", "id": asked.get("id"), **{key: done[key] for key in done if key != "state"}}
        except VoxswapError as error:
            document = problem_of(error, call.request_id).document
            return document | {"type": "refused", "id": asked.get("id")}

    def _session(self, call: Call, name: object) -> PanelSession:
        if not isinstance(name, str) or not NAME.match(name):
            shown = str(name)[:80]
            raise RequestError(f"{shown!r} is no name of a session: 1 to 64 letters, digits, _ and -", field="session")
        return self._sessions.get(owner_of(call), name)


def owner_of(call: Call) -> Hashable:
    """Whose sessions these are: of a key; without keys, everyone's."""
    return call.principal.name if call.principal else ""
