"""One call: its ids, its deadline, its initial metadata.

Knows nothing of what the call asks for. The telemetry interceptor opens a call; servicers reach it by `current_call`.
"""

from collections.abc import Callable
from contextvars import ContextVar
from dataclasses import dataclass, field
from typing import Any

from grpc import aio

from voxswap_server.auth import Principal
from voxswap_server.ids import REQUEST_ID_KEY, TRACE_KEY, new_id, request_id_of, trace_id_of

Context = aio.ServicerContext[Any, Any]


@dataclass(slots=True)
class Call:
    method: str
    """package.Service/Method"""
    request_id: str
    trace_id: str
    started_s: float
    """Reading of the monotonic clock."""
    deadline_s: float | None
    """Reading of the monotonic clock; None: the caller waits for ever."""
    headers: dict[str, str] = field(default_factory=dict)
    """Initial metadata; what a servicer adds before its first response is sent with it."""
    headers_sent: bool = False
    principal: Principal | None = None
    """Who calls; None for probes."""

    async def send_headers(self, context: Context) -> None:
        """Sends the initial metadata, once."""
        if not self.headers_sent:
            self.headers_sent = True
            await context.send_initial_metadata(tuple(self.headers.items()))


_CALL: ContextVar[Call] = ContextVar("call")


def current_call() -> Call:
    """The call that this code answers.

    Raises:
        LookupError: it answers none.
    """
    return _CALL.get()


def open_call(method: str, context: Context, clock: Callable[[], float], make_id: Callable[[], str] = new_id) -> Call:
    """Reads the ids and the deadline of a call and makes it the current one of this task.

    A caller's `x-request-id` of at most 128 visible ASCII characters is kept; else one is made, as is a trace id.
    """
    metadata = {key: value for key, value in context.invocation_metadata() or () if isinstance(value, str)}
    request_id = request_id_of(metadata.get(REQUEST_ID_KEY, ""), make_id)
    now_s = clock()
    left_s: float | None = context.time_remaining()
    call = Call(
        method=method,
        request_id=request_id,
        trace_id=trace_id_of(metadata.get(TRACE_KEY, ""), make_id),
        started_s=now_s,
        deadline_s=None if left_s is None else now_s + left_s,
        headers={REQUEST_ID_KEY: request_id},
    )
    _CALL.set(call)
    return call
