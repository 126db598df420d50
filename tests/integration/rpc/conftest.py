"""A real server on a port of its own, a real channel, and the fakes behind them."""

from contextlib import asynccontextmanager
from dataclasses import dataclass, field

import pytest
from google.rpc import error_details_pb2
from grpc import aio
from grpc_health.v1 import health_pb2_grpc
from grpc_status import rpc_status
from prometheus_client import CollectorRegistry

from tests.fixtures.fake_engine import FakeAdmin, FakeEmbedder, FakeLibrary, FakeSynthesizer, voice_info
from tests.fixtures.fake_live import FakeLive
from voxswap.v1 import model_admin_service_pb2_grpc, speech_service_pb2_grpc, voice_service_pb2_grpc
from voxswap_server.metrics import Metrics
from voxswap_server.rpc.server import RpcConfig, RpcServer, Services


@dataclass
class Rig:
    """What a test drives and what it looks at."""

    registry: CollectorRegistry = field(default_factory=CollectorRegistry)
    synthesizer: FakeSynthesizer = field(default_factory=FakeSynthesizer)
    library: FakeLibrary = field(default_factory=lambda: FakeLibrary([voice_info("narrator"), voice_info("slate")]))
    admin: FakeAdmin = field(default_factory=FakeAdmin)
    embedder: FakeEmbedder = field(default_factory=FakeEmbedder)
    live: FakeLive = field(default_factory=FakeLive)
    server: RpcServer = None
    channel: aio.Channel = None

    def connect(self, *options):
        return aio.insecure_channel(f"127.0.0.1:{self.server.port}", options=options)

    @property
    def speech(self):
        return speech_service_pb2_grpc.SpeechServiceStub(self.channel)

    @property
    def voices(self):
        return voice_service_pb2_grpc.VoiceServiceStub(self.channel)

    @property
    def residency(self):
        return model_admin_service_pb2_grpc.ModelAdminServiceStub(self.channel)

    @property
    def health(self):
        return health_pb2_grpc.HealthStub(self.channel)

    def count(self, method, code):
        """How many calls of a method ended with a code."""
        labels = {"method": f"voxswap.v1.{method}", "code": code}
        return self.registry.get_sample_value("voxswap_requests_total", labels) or 0


@asynccontextmanager
async def running(**config):
    rig = Rig()
    services = Services(rig.synthesizer, rig.library, rig.admin, rig.embedder, rig.live)
    config = RpcConfig(**({"address": "127.0.0.1:0", "drain_grace_s": 0.0} | config))
    rig.server = RpcServer(services, config, Metrics(rig.registry))
    await rig.server.start()
    try:
        async with rig.connect() as rig.channel:
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


@dataclass
class Refusal:
    """What a caller is told of an error."""

    code: object
    message: str
    details: dict


def refusal_of(error):
    """Code, message and google.rpc details, by the name of their type, of an AioRpcError."""
    found = {}
    status = rpc_status.from_call(_Call(error))
    for packed in status.details if status else ():
        name = packed.type_url.rsplit(".", 1)[1]
        found[name] = getattr(error_details_pb2, name)()
        assert packed.Unpack(found[name])
    return Refusal(error.code(), error.details(), found)


class _Call:
    """An AioRpcError with the method names of a call."""

    def __init__(self, error):
        self.code, self.details = error.code, error.details
        self.trailing_metadata = lambda: tuple(error.trailing_metadata())


async def _drained(call):
    return [response async for response in call]


@pytest.fixture
def refused():
    """Awaits a call that must fail and tells how."""

    async def refused(call):
        with pytest.raises(aio.AioRpcError) as caught:
            await (_drained(call) if hasattr(call, "__aiter__") else call)
        return refusal_of(caught.value)

    return refused
