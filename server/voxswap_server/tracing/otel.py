"""Tracing by OpenTelemetry: the one file that imports it. Knows nothing of requests."""

import time
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager

from opentelemetry import trace
from opentelemetry.context import Context
from opentelemetry.exporter.otlp.proto.grpc.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor, SpanExporter
from opentelemetry.sdk.trace.sampling import ParentBased, TraceIdRatioBased
from opentelemetry.trace import SpanKind, Status, StatusCode, Tracer
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

from voxswap_server.tracing import RequestSpan, TracingConfig, Value

NAME = "voxswap"
CODE_KEYS: Mapping[str, str] = {"grpc": "rpc.grpc.status", "http": "voxswap.code"}


class OtelTracing:
    """Sends spans in batches, from a thread of the SDK; whoever makes it must close it.

    Args:
        config: where they go, and how many.
        version: of this server.
        exporter: used instead of one that sends to `config.endpoint`.
    """

    def __init__(self, config: TracingConfig, version: str, exporter: SpanExporter | None = None) -> None:
        plain = not config.endpoint.startswith("https://")
        self._provider = TracerProvider(
            sampler=ParentBased(TraceIdRatioBased(config.sample_ratio)),
            resource=Resource.create({"service.name": config.service_name, "service.version": version}),
        )
        self._provider.add_span_processor(
            BatchSpanProcessor(exporter or OTLPSpanExporter(endpoint=config.endpoint, insecure=plain))
        )
        self._tracer: Tracer = self._provider.get_tracer(NAME, version)
        self._propagator = TraceContextTextMapPropagator()
        # The monotonic clock has an epoch of its own; spans are dated by everybody's.
        self._epoch_ns = time.time_ns() - time.monotonic_ns()

    @contextmanager
    def request(self, name: str, headers: Iterable[tuple[str, str]], kind: str, /) -> Iterator[RequestSpan]:
        parent = self._propagator.extract(dict(headers), Context())
        with self._tracer.start_as_current_span(
            name, parent, SpanKind.SERVER, record_exception=False, set_status_on_exception=False
        ) as span:
            yield _Span(span, CODE_KEYS[kind])

    def past(self, name: str, start_s: float, end_s: float, **attributes: Value) -> None:
        span = self._tracer.start_span(name, start_time=self._date_ns(start_s), attributes=attributes)
        span.end(self._date_ns(end_s))

    def event(self, name: str, **attributes: Value) -> None:
        trace.get_current_span().add_event(name, attributes)

    def close(self) -> None:
        """Sends what is left, and ends."""
        self._provider.shutdown()

    def _date_ns(self, reading_s: float) -> int:
        return self._epoch_ns + round(reading_s * 1e9)


class _Span:
    def __init__(self, span: trace.Span, code_key: str) -> None:
        self.trace_id = trace.format_trace_id(span.get_span_context().trace_id)
        self._span = span
        self._code_key = code_key

    def ended(self, code: str, *, fault: bool) -> None:
        self._span.set_attribute(self._code_key, code)
        if fault:
            self._span.set_status(Status(StatusCode.ERROR, code))
