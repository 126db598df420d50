"""One call over HTTP: its ids, its deadline, who asks, and what goes into the header of the answer.

Knows nothing of what the call asks for.
"""

import re
from collections.abc import Callable
from dataclasses import dataclass, field

from starlette.requests import HTTPConnection

from voxswap_server.auth import Principal
from voxswap_server.errors import RequestError
from voxswap_server.ids import REQUEST_ID_KEY, TRACE_KEY, request_id_of, trace_id_of

NOTICES_KEY = "x-notices"
TIMEOUT_KEY = "x-timeout-ms"
LONGEST_TIMEOUT_MS = 24 * 3600 * 1000
_MILLISECONDS = re.compile(r"[0-9]{1,12}")


@dataclass(slots=True)
class Call:
    operation: str
    """Method and path as the route has it: "POST /v1/audio/speech"."""
    connection: HTTPConnection
    request_id: str
    trace_id: str
    started_s: float
    """Reading of the monotonic clock."""
    deadline_s: float | None = None
    """Reading of the monotonic clock; None: the caller waits for ever."""
    principal: Principal | None = None
    """Who asks; None until that is known."""
    body: bytes = b""
    headers: dict[str, str] = field(default_factory=dict)
    """Of the answer; what is added before it starts is sent with it."""
    notices: list[str] = field(default_factory=list)
    """Codes of what the caller should know though nothing failed; sent likewise."""

    @property
    def address(self) -> str:
        """Host of the peer."""
        client = self.connection.client
        return client.host if client else ""


def open_call(operation: str, connection: HTTPConnection, clock: Callable[[], float]) -> Call:
    """Reads the ids of a call; the deadline is read by `read_deadline`, where an error can be told."""
    request_id = request_id_of(connection.headers.get(REQUEST_ID_KEY, ""))
    return Call(
        operation=operation,
        connection=connection,
        request_id=request_id,
        trace_id=trace_id_of(connection.headers.get(TRACE_KEY, "")),
        started_s=clock(),
        headers={REQUEST_ID_KEY: request_id},
    )


def read_deadline(call: Call) -> None:
    """
    Raises:
        RequestError: the header is there, and is no number of milliseconds.
    """
    given = call.connection.headers.get(TIMEOUT_KEY)
    if given is None:
        return
    if not (_MILLISECONDS.fullmatch(given) and 1 <= int(given) <= LONGEST_TIMEOUT_MS):
        raise RequestError(
            f"{given[:40]!r} is no time-out; whole milliseconds, 1 to {LONGEST_TIMEOUT_MS}", field=TIMEOUT_KEY
        )
    call.deadline_s = call.started_s + int(given) / 1000
