"""Traces: what a request did and when. Knows nothing of who exports them, and needs no library while it is off.

A transport opens the span of a request; whoever works for it adds spans that have been and events, all on the task
that serves the request. Readings of time are those of the monotonic clock, as everywhere.
"""

from collections.abc import Iterable
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from typing import Protocol

Value = str | int | float | bool


class RequestSpan(Protocol):
    """The span of a request that runs."""

    @property
    def trace_id(self) -> str:
        """32 hexadecimal digits; "" while tracing is off."""
        ...

    def ended(self, code: str, *, fault: bool) -> None:
        """How it ended: the name of its status code, and whether that is our fault."""
        ...


class Tracing(Protocol):
    """Where spans go."""

    def request(
        self, name: str, headers: Iterable[tuple[str, str]], kind: str, /
    ) -> AbstractContextManager[RequestSpan]:
        """Opens the span of a request, below the caller's where its headers name one (W3C Trace Context).

        Args:
            name: method, or operation.
            headers: of the request.
            kind: grpc or http.
        """
        ...

    def past(self, name: str, start_s: float, end_s: float, **attributes: Value) -> None:
        """Adds a span that is over to the request that this task serves."""
        ...

    def event(self, name: str, **attributes: Value) -> None:
        """Adds a moment to the request that this task serves."""
        ...


@dataclass(frozen=True, slots=True)
class NoSpan:
    """Of a request that nobody traces."""

    trace_id: str = ""

    def ended(self, code: str, *, fault: bool) -> None: ...


class NoTracing:
    """Traces nothing."""

    def request(
        self, _name: str, _headers: Iterable[tuple[str, str]], _kind: str, /
    ) -> AbstractContextManager[RequestSpan]:
        return nullcontext(NoSpan())

    def past(self, name: str, start_s: float, end_s: float, **attributes: Value) -> None: ...

    def event(self, name: str, **attributes: Value) -> None: ...


NO_TRACING = NoTracing()


@dataclass(frozen=True, slots=True)
class TracingConfig:
    endpoint: str = ""
    """Of an OTLP collector over gRPC, such as http://localhost:4317; "" traces nothing."""
    sample_ratio: float = 1.0
    """Share of the requests that are traced where the caller has not decided; 0 to 1."""
    service_name: str = "voxswap"
