"""`/`, `/overlay` and the files that they load. They hold no secrets: who opens one shows a key to the panel's socket.

Knows nothing of what the pages do. Files are named in a table, so no path is ever taken from a request.
"""

import hashlib
from collections.abc import Mapping
from importlib.resources import files

from starlette.requests import HTTPConnection
from starlette.responses import Response
from starlette.routing import Route
from starlette.types import Receive, Scope, Send

from voxswap_server.http.calls import open_call
from voxswap_server.http.operations import Answer, Surroundings, told
from voxswap_server.http.problems import PLAIN, NoSuchMethod

HTML, CSS, SCRIPT, IMAGE = "text/html", "text/css", "text/javascript", "image/svg+xml"
PAGES: Mapping[str, tuple[str, str]] = {
    "/": ("panel.html", HTML),
    "/overlay": ("overlay.html", HTML),
    **{
        f"/panel/{name}": (name, media_type)
        for name, media_type in {
            "panel.css": CSS,
            "overlay.css": CSS,
            "icon.svg": IMAGE,
            "panel.js": SCRIPT,
            "overlay.js": SCRIPT,
            "door.js": SCRIPT,
            "session.js": SCRIPT,
            "player.js": SCRIPT,
            "outputs.js": SCRIPT,
            "playback.js": SCRIPT,
            "meters.js": SCRIPT,
            "queue.js": SCRIPT,
            "tiles.js": SCRIPT,
        }.items()
    },
}
"""Path -> file and media type."""
METHODS = ("GET", "HEAD")
POLICY = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; base-uri 'none'"
HEADERS: Mapping[str, str] = {
    "content-security-policy": f"{POLICY}; form-action 'none'; frame-ancestors 'none'",
    "cache-control": "no-cache",
    "referrer-policy": "no-referrer",
    "x-content-type-options": "nosniff",
}


def page_routes(around: Surroundings) -> tuple[Route, ...]:
    """One route a file."""
    return tuple(Route(path, Page(path, name, media_type, around)) for path, (name, media_type) in PAGES.items())


class Page:
    """One file as an ASGI application."""

    def __init__(self, path: str, name: str, media_type: str, around: Surroundings) -> None:
        self._path = path
        self._media_type = media_type
        self._around = around
        self._content = (files(__package__) / "files" / name).read_bytes()
        self._tag = f'"{hashlib.sha256(self._content).hexdigest()[:32]}"'

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        connection, method = HTTPConnection(scope), scope["method"]
        known = method if method in METHODS else "OTHER"
        call = open_call(f"{known} {self._path}", connection, self._around.clock)
        answer = Answer(send, call, {})
        async with told(call, answer, PLAIN, self._around):
            self._around.browsers.check(connection.headers)
            if method not in METHODS:
                raise NoSuchMethod(method, self._path, METHODS)
            response = self._response(connection.headers)
            await response(scope, receive, answer)

    def _response(self, headers: Mapping[str, str]) -> Response:
        own = {**HEADERS, "etag": self._tag}
        if self._tag in headers.get("if-none-match", ""):
            return Response(status_code=304, headers=own)
        return Response(self._content, headers=own, media_type=self._media_type)
