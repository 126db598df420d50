"""The way out: spans of a server reach a collector over OTLP, as its settings say, with its last ones at its end."""

from concurrent.futures import ThreadPoolExecutor

import grpc
import pytest
from opentelemetry.proto.collector.trace.v1 import trace_service_pb2, trace_service_pb2_grpc

from voxswap_client import AsyncClient
from voxswap_server.app import running
from voxswap_server.settings import Settings


class Collector(trace_service_pb2_grpc.TraceServiceServicer):
    def __init__(self):
        self.batches = []

    def Export(self, request, context):  # noqa: N802 - the protocol's name
        self.batches += request.resource_spans
        return trace_service_pb2.ExportTraceServiceResponse()

    @property
    def spans(self):
        return [span for batch in self.batches for scope in batch.scope_spans for span in scope.spans]


@pytest.fixture
def collector():
    with ThreadPoolExecutor(2) as pool:
        server, collector = grpc.server(pool), Collector()
        trace_service_pb2_grpc.add_TraceServiceServicer_to_server(collector, server)
        collector.endpoint = f"http://127.0.0.1:{server.add_insecure_port('127.0.0.1:0')}"
        server.start()
        yield collector
        server.stop(None).wait()


async def test_a_collector_gets_the_spans_of_a_server_that_ends(collector, tiny_store):
    settings = Settings(
        store=tiny_store,
        rpc={"address": "127.0.0.1:0"},
        metrics={"enabled": False},
        device={"name": "cpu", "threads": 1},
        tracing={"endpoint": collector.endpoint, "service_name": "studio"},
    )
    async with running(settings) as server, AsyncClient(f"127.0.0.1:{server.rpc.port}") as client:
        await client.get_voice("amber")
        assert (await client.health()).serving
    assert [span.name for span in collector.spans] == ["voxswap.v1.VoiceService/GetVoice"]
    facts = {one.key: one.value.string_value for one in collector.batches[0].resource.attributes}
    assert facts["service.name"] == "studio"
    assert facts["service.version"]
