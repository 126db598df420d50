"""Serves /metrics over HTTP on threads of its own; OpenMetrics to whoever accepts it.

Knows nothing of what the numbers mean, and of keys only that somebody else judges the headers.
"""

import ssl
import sys
import threading
from collections.abc import Callable, Iterable, Sequence
from http import HTTPStatus
from socket import AF_INET, AF_INET6, socket
from socketserver import ThreadingMixIn
from types import TracebackType
from typing import Any, ClassVar, Self
from wsgiref.simple_server import WSGIRequestHandler, WSGIServer

import structlog
from prometheus_client import CollectorRegistry, make_wsgi_app

from voxswap_server.errors import PermissionDenied, Unauthenticated

log = structlog.get_logger(__name__)

Headers = Sequence[tuple[str, str]]
Admit = Callable[[Headers], object]
"""Raises Unauthenticated or PermissionDenied for headers of somebody who may not read."""

_REFUSALS: dict[type[Exception], tuple[HTTPStatus, Headers]] = {
    Unauthenticated: (HTTPStatus.UNAUTHORIZED, [("WWW-Authenticate", "Bearer")]),
    PermissionDenied: (HTTPStatus.FORBIDDEN, []),
}


class MetricsServer:
    """Serves from its making until `close`.

    Args:
        registry: what to expose.
        host: address to bind.
        port: 0 picks a free one.
        admit: who may read; by default everybody.
        tls: None speaks plain text.

    Raises:
        OSError: the address cannot be bound.
    """

    def __init__(
        self,
        registry: CollectorRegistry,
        host: str,
        port: int,
        *,
        admit: Admit = lambda _headers: None,
        tls: ssl.SSLContext | None = None,
    ) -> None:
        self._scheme = "https" if tls else "http"
        server = _Server6 if ":" in host else _Server
        self._httpd = server((host, port), _Handler)
        self._httpd.tls = tls
        self._httpd.set_app(_guarded(make_wsgi_app(registry), admit))
        self._thread = threading.Thread(target=self._httpd.serve_forever, name="voxswap-metrics", daemon=True)
        self._thread.start()

    @property
    def url(self) -> str:
        host, port = self._httpd.server_address[:2]
        bracketed = f"[{host!s}]" if ":" in str(host) else str(host)
        return f"{self._scheme}://{bracketed}:{port}/metrics"

    def close(self) -> None:
        self._httpd.shutdown()
        self._httpd.server_close()
        self._thread.join()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.close()


def _guarded(app: Any, admit: Admit) -> Any:
    """The application, for those who are let in."""

    def guarded(environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
        headers = [
            (name[len("HTTP_") :].replace("_", "-"), value)
            for name, value in environ.items()
            if name.startswith("HTTP_")
        ]
        try:
            admit(headers)
        except tuple(_REFUSALS) as error:
            status, extra = _REFUSALS[type(error)]
            start_response(f"{status.value} {status.phrase}", [("Content-Type", "text/plain; charset=utf-8"), *extra])
            return [f"{error}\n".encode()]
        answer: Iterable[bytes] = app(environ, start_response)
        return answer

    return guarded


class _Server(ThreadingMixIn, WSGIServer):
    daemon_threads = True
    address_family = AF_INET
    tls: ssl.SSLContext | None = None

    def server_bind(self) -> None:
        # Not WSGIServer's: that asks a name server who we are.
        super(WSGIServer, self).server_bind()
        self.setup_environ()

    def get_request(self) -> tuple[socket, Any]:
        connection, address = super().get_request()
        if self.tls is not None:
            # The handshake is for the thread of this connection: a slow one must hold up nobody else.
            connection = self.tls.wrap_socket(connection, server_side=True, do_handshake_on_connect=False)
        return connection, address

    def handle_error(self, request: Any, client_address: Any) -> None:  # noqa: ARG002 - socketserver names them
        """A scraper that hangs up, or knows no TLS, is no news; anything else is ours."""
        error = sys.exception()
        if not isinstance(error, OSError):
            log.error("metrics failed", exc_info=error)


class _Server6(_Server):
    address_family = AF_INET6


class _Handler(WSGIRequestHandler):
    timeout: ClassVar[float] = 30.0
    """Seconds of silence after which a connection is closed."""

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - the name is http.server's
        """Scrapes are no news."""
