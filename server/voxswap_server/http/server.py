"""Puts the HTTP gateway together, and takes it down in order.

Knows nothing of what stands behind it, of settings files or of signals. It runs on the event loop of the process,
beside gRPC, with the same engine.
"""

import asyncio
import logging
import socket
import ssl
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field

import uvicorn

from voxswap_server.auth import Authenticator, TlsFiles
from voxswap_server.door import Door
from voxswap_server.http.api_v2.config import ApiV2Config
from voxswap_server.http.browsers import Browsers
from voxswap_server.http.gateway import Services, gateway
from voxswap_server.http.operations import HttpMetrics, Surroundings
from voxswap_server.http.panel.config import PanelConfig
from voxswap_server.http.wyoming import WyomingConfig
from voxswap_server.tracing import NO_TRACING, Tracing

DATE_S = 1.0
"""How old the date of an answer may be."""
SETTLE_S = 1
"""After the last request: time for answers to leave before their connections are cut."""


@dataclass(frozen=True, slots=True)
class HttpConfig:
    port: int | None = None
    """None: no gateway; 0 picks a free one."""
    host: str = "127.0.0.1"
    allowed_origins: tuple[str, ...] = ()
    """Pages of other origins that browsers may let use this server, such as "https://studio.example"."""
    allowed_hosts: tuple[str, ...] = ()
    """Names under which this server is reached, where they have a dot; addresses need not be named."""
    max_whole_bytes: int = 64 * 1024**2
    """Of an answer that is not streamed."""
    max_connections: int = 512
    """More are answered 503 at once."""
    drain_grace_s: float = 30.0
    """How long running requests may take to end before they are cut off."""
    api_v2: ApiV2Config = field(default_factory=ApiV2Config)
    panel: PanelConfig = field(default_factory=PanelConfig)
    wyoming: WyomingConfig = field(default_factory=WyomingConfig)


class HttpServer:
    """The gateway as a server. Build, start, drain: once each.

    Args:
        services: what it speaks with.
        config: a port is given.
        metrics: told of each request that ends.
        authenticator: knows the keys.
        tls: None is plain text.
        clock: monotonic seconds.
        tracing: where spans of operations go.
    """

    def __init__(
        self,
        services: Services,
        config: HttpConfig,
        metrics: HttpMetrics,
        authenticator: Authenticator | None = None,
        tls: TlsFiles | None = None,
        clock: Callable[[], float] = time.monotonic,
        tracing: Tracing = NO_TRACING,
    ) -> None:
        self.port = 0
        """Bound port, once started."""
        self._config = config
        self._tls = tls
        self._door = Door()
        around = Surroundings(
            metrics=metrics,
            door=self._door,
            browsers=Browsers(config.allowed_origins, config.allowed_hosts),
            authenticator=authenticator or Authenticator(),
            clock=clock,
            tracing=tracing,
        )
        self._gateway = gateway(services, around, config.api_v2, config.panel, config.max_whole_bytes)
        self._server = _Uvicorn(_uvicorn_config(self._gateway.app, config, tls))
        self._running: asyncio.Task[None] | None = None

    @property
    def url(self) -> str:
        host = f"[{self._config.host}]" if ":" in self._config.host else self._config.host
        return f"{'https' if self._tls else 'http'}://{host}:{self.port}"

    async def start(self) -> None:
        """Binds and listens.

        Raises:
            OSError: the address cannot be bound.
        """
        bound = _bind(self._config.host, self._config.port or 0)
        self.port = bound.getsockname()[1]
        self._running = asyncio.create_task(self._server.serve(sockets=[bound]))
        started = asyncio.create_task(self._server.listening.wait())
        await asyncio.wait({self._running, started}, return_when=asyncio.FIRST_COMPLETED)
        started.cancel()
        if self._running.done():
            bound.close()
            await self._running

    async def drain(self) -> bool:
        """No new work, then the end of running work, then stop. False if some work was cut off."""
        finished = await self._door.close(self._config.drain_grace_s)
        await self._gateway.close()
        self._server.leave()
        if self._running is not None:
            await self._running
        return finished


class _Uvicorn(uvicorn.Server):
    """Leaves signals to the process, says when it listens, and sleeps while nothing is asked of it."""

    def __init__(self, config: uvicorn.Config) -> None:
        super().__init__(config)
        self.listening = asyncio.Event()
        self._leaving = asyncio.Event()

    def leave(self) -> None:
        """Ends `serve` in order."""
        self.should_exit = True
        self._leaving.set()

    async def main_loop(self) -> None:
        while not await self.on_tick(0):  # 0: the tick that brings the date of the answers up to date
            with suppress(TimeoutError):
                async with asyncio.timeout(DATE_S):
                    await self._leaving.wait()

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        self.listening.set()

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield


def _uvicorn_config(app: Callable[..., object], config: HttpConfig, tls: TlsFiles | None) -> uvicorn.Config:
    return uvicorn.Config(
        app,
        lifespan="off",
        ws="websockets-sansio",
        ws_max_size=1024 * 1024,
        # Audio does not get smaller, and compressing it takes time from those who wait for theirs.
        ws_per_message_deflate=False,
        limit_concurrency=config.max_connections,
        timeout_graceful_shutdown=SETTLE_S,
        # One line a request is written by us; whether a header of a proxy tells the truth is not known here.
        access_log=False,
        proxy_headers=False,
        server_header=False,
        log_config=None,
        log_level=logging.WARNING,
        ssl_context_factory=None if tls is None else lambda *_: _context(tls),
        ssl_certfile=None if tls is None else tls.certificate,
    )


def _context(tls: TlsFiles) -> ssl.SSLContext:
    """Reads certificates anew when they have changed, so a renewed one needs no restart."""
    changes, held = tls.changes(), _loaded(tls)

    def before_handshake(connection: ssl.SSLObject | ssl.SSLSocket, *_: object) -> None:
        nonlocal held
        if changes() is not None:
            held = _loaded(tls)
        connection.context = held

    front = _loaded(tls)
    front.sni_callback = before_handshake
    return front


def _loaded(tls: TlsFiles) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.load_cert_chain(tls.certificate, tls.private_key)
    if tls.client_ca is not None:
        context.verify_mode = ssl.CERT_REQUIRED
        context.load_verify_locations(tls.client_ca)
    return context


def _bind(host: str, port: int) -> socket.socket:
    """
    Raises:
        OSError: says which address.
    """
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    bound = socket.socket(family, socket.SOCK_STREAM)
    try:
        bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        bound.bind((host, port))
    except OSError as error:
        bound.close()
        raise OSError(f"cannot listen on {host}:{port}: is something else listening there?") from error
    return bound
