"""All surfaces of the gateway as one ASGI application.

Knows nothing of sockets. What no surface serves is told as a problem, like everything else.
"""

from dataclasses import dataclass

from starlette.datastructures import URL
from starlette.requests import HTTPConnection
from starlette.routing import BaseRoute, Route, Router, WebSocketRoute
from starlette.types import ASGIApp, Receive, Scope, Send
from starlette.websockets import WebSocket

from voxswap_server.domain import ModelAdmin, Synthesizer, VoiceLibrary
from voxswap_server.domain_live import LiveSynthesizer
from voxswap_server.http.api_v2.config import ApiV2Config
from voxswap_server.http.api_v2.operations import ApiV2
from voxswap_server.http.calls import open_call
from voxswap_server.http.events import Events
from voxswap_server.http.live.channel import Live
from voxswap_server.http.openai import OpenAi
from voxswap_server.http.operations import Answer, Endpoint, Surroundings, told
from voxswap_server.http.pages.routes import page_routes
from voxswap_server.http.panel.config import PanelConfig
from voxswap_server.http.panel.sessions import Sessions
from voxswap_server.http.panel.surface import Panel
from voxswap_server.http.problems import PLAIN, NoSuchPath
from voxswap_server.http.sockets import SocketEndpoint
from voxswap_server.http.speaking import Speaking


@dataclass(frozen=True, slots=True)
class Services:
    """What stands behind the gateway."""

    synthesizer: Synthesizer
    library: VoiceLibrary
    admin: ModelAdmin
    live: LiveSynthesizer


@dataclass(frozen=True, slots=True)
class Gateway:
    app: ASGIApp
    sessions: Sessions

    async def close(self) -> None:
        """Ends what lives longer than a request."""
        await self.sessions.close()


def gateway(
    services: Services, around: Surroundings, api_v2: ApiV2Config, panel: PanelConfig, max_whole_bytes: int
) -> Gateway:
    """Puts the surfaces together."""
    speaking = Speaking(services.synthesizer, max_whole_bytes)
    sessions = Sessions(services.synthesizer, services.admin, panel, around.clock)
    board = Panel(sessions, services.library)
    operations = (
        *OpenAi(speaking, services.library).operations(),
        *ApiV2(speaking, services.library, api_v2, around.clock).operations(),
        *board.operations(),
    )
    channels = (*Events(services.admin).channels(), *Live(services.live).channels(), *board.channels())
    routes: list[BaseRoute] = [
        *page_routes(around),
        *(Route(operation.path, Endpoint(operation, around)) for operation in operations),
        *(WebSocketRoute(channel.path, SocketEndpoint(channel, around)) for channel in channels),
    ]
    return Gateway(Router(routes, default=_Nowhere(around), redirect_slashes=False), sessions)


class _Nowhere:
    """What is behind a path that nobody serves."""

    def __init__(self, around: Surroundings) -> None:
        self._around = around

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await WebSocket(scope, receive, send).close()
            return
        call = open_call("OTHER", HTTPConnection(scope), self._around.clock)
        async with told(call, Answer(send, call, {}), PLAIN, self._around):
            raise NoSuchPath(f"nothing is served at {URL(scope=scope).path[:200]!r}")
