"""A real gateway on a port of its own, real HTTP, and the fakes behind it."""

import time
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

import httpx2
import pytest
import structlog
from prometheus_client import CollectorRegistry
from websockets.asyncio.client import connect

from tests.fixtures.fake_engine import Changes, FakeAdmin, FakeLibrary, FakeSynthesizer, voice_info
from tests.fixtures.fake_live import FakeLive
from voxswap_server.http.gateway import Services
from voxswap_server.http.server import HttpConfig, HttpServer
from voxswap_server.metrics import Metrics


@dataclass
class Rig:
    """What a test drives and what it looks at."""

    registry: CollectorRegistry = field(default_factory=CollectorRegistry)
    synthesizer: FakeSynthesizer = field(default_factory=FakeSynthesizer)
    library: FakeLibrary = field(default_factory=lambda: FakeLibrary([voice_info("narrator"), voice_info("slate")]))
    admin: FakeAdmin = field(default_factory=FakeAdmin)
    live: FakeLive = field(default_factory=FakeLive)
    server: HttpServer = None
    client: httpx2.AsyncClient = None

    def count(self, method, code):
        """How many requests of a method ended with a code."""
        return self.registry.get_sample_value("voxswap_requests_total", {"method": method, "code": code}) or 0

    def socket(self, path, **options):
        """A WebSocket of the `websockets` library."""
        return connect(f"ws{self.server.url.removeprefix('http')}{path}", proxy=None, **options)

    def connect(self, **options):
        # Authorities of the web are of no use here, and take long to read.
        return httpx2.AsyncClient(base_url=self.server.url, trust_env=False, timeout=30, **{"verify": False} | options)


@asynccontextmanager
async def running(rig=None, authenticator=None, tls=None, verify=False, clock=time.monotonic, **config):
    rig = rig or Rig()
    config = HttpConfig(**({"port": 0, "drain_grace_s": 0.0} | config))
    services = Services(rig.synthesizer, rig.library, rig.admin, rig.live)
    rig.server = HttpServer(services, config, Metrics(rig.registry), authenticator, tls, clock)
    await rig.server.start()
    try:
        async with rig.connect(verify=verify) as rig.client:
            yield rig
    finally:
        await rig.server.drain()


@pytest.fixture
def start():
    """A rig whose server has a config of its own, to be entered."""
    return running


@pytest.fixture
async def rig():
    async with running() as rig:
        yield rig


class Lines(Changes):
    """Every line that was logged, with what was bound to it."""

    def __init__(self):
        super().__init__()
        self.all = []

    def __call__(self, _logger, level, line):
        self.all.append(line | {"level": level})
        self.tell()
        raise structlog.DropEvent

    async def http(self, number=0):
        """The canonical line of a request; the server writes it after the client has its answer."""
        await self.until(lambda: len(self.of("http")) > number)
        return self.of("http")[number]

    def of(self, event):
        return [line for line in self.all if line["event"] == event]


@pytest.fixture(autouse=True)
async def lines():
    lines = Lines()
    structlog.configure(processors=[structlog.contextvars.merge_contextvars, lines])
    yield lines
    structlog.reset_defaults()
