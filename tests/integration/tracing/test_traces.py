"""Traces of real requests, over gRPC and HTTP, caught by the SDK's own exporter."""

import asyncio
import urllib.request
from contextlib import aclosing, asynccontextmanager

import pytest
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.trace import SpanKind, StatusCode
from prometheus_client import CollectorRegistry
from prometheus_client.openmetrics.exposition import generate_latest
from structlog.contextvars import merge_contextvars
from structlog.testing import capture_logs

from voxswap_client import (
    AsyncClient,
    AudioChunk,
    Flush,
    SpeechOptions,
    SwitchVoice,
    Text,
    VoiceChanged,
    VoiceNotFound,
)
from voxswap_server.app import running
from voxswap_server.errors import ConfigError
from voxswap_server.settings import Settings
from voxswap_server.tracing import TracingConfig
from voxswap_server.tracing.otel import OtelTracing

TRACE, PARENT = "0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331"
CALLER = ("traceparent", f"00-{TRACE}-{PARENT}-01")
STREAM = "voxswap.v1.SpeechService/SynthesizeStream"
OPTIONS = SpeechOptions(language_code="en")
TEXT = "Good morning to all of you. How are you today?"


class Traced:
    """A server whose spans are caught."""

    def __init__(self, config):
        self.exporter = InMemorySpanExporter()
        self.tracing = OtelTracing(config, "1.2.3", self.exporter)
        self.registry = CollectorRegistry()
        self.server = None

    @property
    def address(self):
        return f"127.0.0.1:{self.server.rpc.port}"

    async def spans(self):
        """All that have ended, oldest first; to be asked once no request runs."""
        await asyncio.to_thread(self.tracing._provider.force_flush)
        return sorted(self.exporter.get_finished_spans(), key=lambda span: span.start_time)


@asynccontextmanager
async def traced(store, config=None, **sections):
    made = Traced(config or TracingConfig())
    usual = {"rpc": {"address": "127.0.0.1:0"}, "metrics": {"enabled": False}, "device": {"name": "cpu", "threads": 1}}
    try:
        async with running(Settings(store=store, **usual | sections), made.registry, made.tracing) as made.server:
            yield made
    finally:
        made.tracing.close()


def of(spans, name):
    return next(span for span in spans if span.name == name)


def trace_id(span):
    return f"{span.context.trace_id:032x}"


async def test_a_stream_over_grpc_has_a_span_for_each_of_its_stages(tiny_store):
    with capture_logs(processors=(merge_contextvars,)) as lines:
        async with traced(tiny_store) as made, AsyncClient(made.address, metadata=[CALLER]) as client:
            async for _ in client.stream(TEXT, "amber", OPTIONS):
                pass
        spans = await made.spans()
    root = of(spans, STREAM)
    assert (root.kind, f"{root.parent.span_id:016x}", root.attributes["rpc.grpc.status"]) == (
        SpanKind.SERVER,
        PARENT,
        "OK",
    )
    assert root.status.status_code is StatusCode.UNSET
    assert root.resource.attributes["service.version"] == "1.2.3"
    mine = [span for span in spans if span.parent and span.parent.span_id == root.context.span_id]
    assert {span.name for span in mine} >= {"queue", "load", "cut", "front-end", "t2s", "decode"}
    assert {trace_id(span) for span in (root, *mine)} == {TRACE}
    for span in mine:
        assert root.start_time <= span.start_time <= span.end_time <= root.end_time, span.name
    order = [of(mine, name).start_time for name in ("queue", "load", "front-end", "t2s", "decode")]
    assert order == sorted(order)
    assert of(mine, "load").attributes["voice"] == "amber"
    t2s = of(mine, "t2s")
    assert t2s.attributes["calls"] > 1
    assert 0 < t2s.attributes["busy_s"] <= (t2s.end_time - t2s.start_time) / 1e9 + 1e-6
    (first,) = root.events
    assert (first.name, first.attributes["warm"]) == ("first audio", False)
    assert first.attributes["ttfa_s"] == pytest.approx((first.timestamp - root.start_time) / 1e9, abs=0.5)
    # The log and the exemplars lead to the same trace.
    assert {line["trace_id"] for line in lines if line.get("method") == STREAM} == {TRACE}
    assert f'trace_id="{TRACE}"' in generate_latest(made.registry).decode()


async def switching(changed: asyncio.Event):
    """Text on both sides of a change of voice: the text must not be at its end before the new voice is there."""
    yield Text("Good morning to all of you. ")
    yield Flush()
    yield SwitchVoice("slate")
    await changed.wait()
    yield Text("How are you today?")


async def test_a_live_stream_is_one_span_with_the_stages_of_all_its_sentences(tiny_store):
    events, changed = [], asyncio.Event()
    async with traced(tiny_store) as made, AsyncClient(made.address, metadata=[CALLER]) as client:
        async for event in client.live_events(switching(changed), "amber", OPTIONS):
            events.append(event)
            if isinstance(event, VoiceChanged):
                changed.set()
    spans = await made.spans()
    root = of(spans, "voxswap.v1.SpeechService/StreamingSynthesize")
    mine = [span for span in spans if span.parent and span.parent.span_id == root.context.span_id]
    assert {trace_id(span) for span in (root, *mine)} == {TRACE}
    assert {span.attributes["voice"] for span in mine if span.name == "load"} == {"amber", "slate"}
    # Two sentences, and once more the first if the old voice had begun it, unheard, when the new one came.
    assert sum(span.name == "t2s" for span in mine) in (2, 3)
    assert all(span.end_time <= root.end_time for span in mine)
    (change,) = [event for event in events if isinstance(event, VoiceChanged)]
    heard = {event.name: event.attributes for event in root.events}
    assert heard["voice changed"] == {"voice": "slate", "sample": change.start_sample}
    assert "first audio" in heard


async def test_the_gateway_opens_spans_too(tiny_store):
    async with traced(tiny_store, http={"port": 0}) as made:
        body = b'{"model": "tts-1", "voice": "amber", "input": "Good morning.", "response_format": "pcm"}'
        headers = {"Content-Type": "application/json", "traceparent": CALLER[1]}
        asking = urllib.request.Request(f"{made.server.http.url}/v1/audio/speech", body, headers)

        def ask():
            with urllib.request.urlopen(asking, timeout=60) as answer:
                return answer.read()

        assert await asyncio.to_thread(ask)
    spans = await made.spans()
    root = of(spans, "POST /v1/audio/speech")
    assert (trace_id(root), root.attributes["voxswap.code"]) == (TRACE, "OK")
    mine = {span.name for span in spans if span.parent and span.parent.span_id == root.context.span_id}
    assert mine >= {"queue", "load", "t2s", "decode"}
    assert [event.name for event in root.events] == ["first audio"]


async def test_requests_without_a_caller_have_traces_of_their_own_and_the_log_names_them(tiny_store):
    with capture_logs(processors=(merge_contextvars,)) as lines:
        async with traced(tiny_store) as made, AsyncClient(made.address) as client:
            await asyncio.gather(*(client.get_voice(voice) for voice in ("amber", "slate")))
        spans = await made.spans()
    roots = {trace_id(span) for span in spans if span.name.endswith("GetVoice")}
    assert len(roots) == 2
    assert {line["trace_id"] for line in lines if line.get("method", "").endswith("GetVoice")} == roots


async def test_failures_and_listeners_who_leave_are_told_by_code(tiny_store):
    async with traced(tiny_store) as made, AsyncClient(made.address) as client:
        with pytest.raises(VoiceNotFound):
            await client.synthesize("Hello.", "nobody")
        async with aclosing(client.stream(TEXT * 4, "amber", OPTIONS)) as stream:
            async for event in stream:
                if isinstance(event, AudioChunk):
                    break
        assert (await client.health()).serving
    spans = await made.spans()
    roots = {span.name.partition("/")[2]: span for span in spans if span.kind is SpanKind.SERVER}
    assert roots.keys() == {"Synthesize", "SynthesizeStream"}
    # What the caller did wrong is no error of ours.
    assert (roots["Synthesize"].attributes["rpc.grpc.status"], roots["Synthesize"].status.status_code) == (
        "NOT_FOUND",
        StatusCode.UNSET,
    )
    assert roots["SynthesizeStream"].attributes["rpc.grpc.status"] == "CANCELLED"
    assert any(span.name == "t2s" and trace_id(span) == trace_id(roots["SynthesizeStream"]) for span in spans)


async def test_only_the_share_that_is_asked_for_is_kept_unless_the_caller_decides(tiny_store):
    async with traced(tiny_store, TracingConfig(sample_ratio=0.0)) as made:
        async with AsyncClient(made.address) as client:
            await client.get_voice("amber")
        async with AsyncClient(made.address, metadata=[CALLER]) as client:
            await client.get_voice("slate")
    assert [trace_id(span) for span in await made.spans()] == [TRACE]


async def test_it_is_off_by_default_and_says_what_it_lacks(tiny_store, monkeypatch):
    assert Settings().tracing.endpoint == ""
    import sys

    monkeypatch.setitem(sys.modules, "voxswap_server.tracing.otel", None)
    with pytest.raises(ConfigError, match=r"pip install voxswap\[otel\]"):
        async with running(Settings(store=tiny_store, tracing={"endpoint": "http://localhost:4317"})):
            pass
