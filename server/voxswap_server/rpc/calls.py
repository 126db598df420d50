"""One call: its ids, its deadline, its initial metadata.

Knows nothing of what the call asks for. The telemetry interceptor opens a call; servicers reach it by `current_call`.
"""

import re
import uuid
from collections.abc import Callable
from contextvars import ContextVar
from dataclasses import dataclass, field
from typing import Any

from grpc import aio

REQUEST_ID_KEY = "x-request-id"
CACHE_STATE_KEY = "x-cache-state"
TRACE_KEY = "traceparent"

_REQUEST_ID = re.compile(r"[\x21-\x7e]{1,128}\Z")
_TRACE_PARENT = re.compile(
    r"(?!ff)[0-9a-f]{2}-(?!0{32})(?P<trace_id>[0-9a-f]{32})-(?!0{16})[0-9a-f]{16}-[0-9a-f]{2}(-.*)?\Z"
)
"""W3C Trace Context level 1: version, trace id, parent id, flags; later versions may append."""

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


def open_call(
    method: str, context: Context, clock: Callable[[], float], new_id: Callable[[], str] = lambda: uuid.uuid4().hex
) -> Call:
    """Reads the ids and the deadline of a call and makes it the current one of this task.

    A caller's `x-request-id` of at most 128 visible ASCII characters is kept; else one is made, as is a trace id.
    """
    metadata = {key: value for key, value in context.invocation_metadata() or () if isinstance(value, str)}
    asked = metadata.get(REQUEST_ID_KEY, "")
    request_id = asked if _REQUEST_ID.match(asked) else new_id()
    trace = _TRACE_PARENT.match(metadata.get(TRACE_KEY, ""))
    now_s = clock()
    left_s: float | None = context.time_remaining()
    call = Call(
        method=method,
        request_id=request_id,
        trace_id=trace["trace_id"] if trace else new_id(),
        started_s=now_s,
        deadline_s=None if left_s is None else now_s + left_s,
        headers={REQUEST_ID_KEY: request_id},
    )
    _CALL.set(call)
    return call
