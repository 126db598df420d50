"""What every operation over HTTP gets: ids, browser rules, authority, one log line, a count, errors as problems.

Knows nothing of what operations mean. Handlers raise errors of the tree; here, and nowhere else, they become answers.
An error after the first byte of an answer cannot be told in its status: the connection is closed before the answer's
end, which every client takes for a failure.
"""

import asyncio
import logging
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import AbstractContextManager, asynccontextmanager
from dataclasses import dataclass, field
from typing import Any, Protocol

from starlette.datastructures import MutableHeaders
from starlette.requests import HTTPConnection
from starlette.responses import JSONResponse, Response
from starlette.types import ASGIApp, Message, Receive, Send
from starlette.types import Scope as AsgiScope

from voxswap_server import logs
from voxswap_server.auth import Authenticator, Credentials, Scope, credentials_of
from voxswap_server.auth.authenticator import ANYONE
from voxswap_server.door import Door
from voxswap_server.errors import Cancelled, DeadlineExceeded, VoxswapError
from voxswap_server.http.bodies import read_body
from voxswap_server.http.browsers import Browsers
from voxswap_server.http.calls import NOTICES_KEY, Call, open_call, read_deadline
from voxswap_server.http.problems import MEDIA_TYPE, PLAIN, Dialect, NoSuchMethod, Problem, problem_of, row_of
from voxswap_server.tracing import NO_TRACING, Tracing

SMALL_BODY_BYTES = 1024 * 1024
KEY_PROTOCOL = "voxswap.key."
OUR_BUGS = ("INTERNAL", "DATA_LOSS")

Handler = Callable[[Call], Awaitable[ASGIApp]]


class HttpMetrics(Protocol):
    def request(self, method: str, code: str) -> None:
        """A request ended; `method` is the HTTP method and the path, `code` the name of gRPC's status for the same."""
        ...


@dataclass(frozen=True, slots=True)
class Surroundings:
    """What all operations share."""

    metrics: HttpMetrics
    door: Door
    browsers: Browsers = field(default_factory=Browsers)
    authenticator: Authenticator = field(default_factory=Authenticator)
    clock: Callable[[], float] = time.monotonic
    tracing: Tracing = NO_TRACING


@dataclass(frozen=True, slots=True)
class Operation:
    """One path and its handlers by method."""

    path: str
    handlers: Mapping[str, Handler]
    scopes: tuple[Scope, ...] = (Scope.SPEAK,)
    """The caller's key must be good for one of them; none: it must be known."""
    dialect: Dialect = PLAIN
    max_body_bytes: int = SMALL_BODY_BYTES

    @property
    def methods(self) -> tuple[str, ...]:
        return tuple(self.handlers)


class Endpoint:
    """An operation as an ASGI application."""

    def __init__(self, operation: Operation, around: Surroundings) -> None:
        self._operation = operation
        self._around = around

    async def __call__(self, scope: AsgiScope, receive: Receive, send: Send) -> None:
        operation, connection = self._operation, HTTPConnection(scope)
        method = scope["method"]
        if method == "OPTIONS" and (allowed := self._around.browsers.preflight(connection.headers, operation.methods)):
            await Response(status_code=204, headers=allowed)(scope, receive, send)
            return
        # An unknown method is one label for all of them: callers do not make up series of metrics.
        known = method if method in operation.handlers else "OTHER"
        call = open_call(f"{known} {operation.path}", connection, self._around.clock)
        answer = Answer(send, call, self._around.browsers.cors(connection.headers))
        async with told(call, answer, operation.dialect, self._around):
            admit(call, operation.scopes, self._around)
            if method not in operation.handlers:
                raise NoSuchMethod(method, operation.path, operation.methods)
            read_deadline(call)
            async with in_time(call, self._around.clock):
                call.body = await read_body(connection.headers, receive, operation.max_body_bytes)
                async with attended(receive):
                    response = await operation.handlers[method](call)
                    await response(scope, receive, answer)


class Answer:
    """Sends an answer, with the headers of its call; knows how far it came."""

    def __init__(self, send: Send, call: Call, extra: Mapping[str, str]) -> None:
        self._send = send
        self._call = call
        self._extra = extra
        self.status = 0
        """0 until it has begun."""

    async def __call__(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            self.status = message["status"]
            headers = MutableHeaders(scope=message)
            for name, value in (self._call.headers | dict(self._extra)).items():
                headers[name] = value
            if self._call.notices:
                headers[NOTICES_KEY] = ", ".join(dict.fromkeys(self._call.notices))
        await self._send(message)

    async def refuse(self, problem: Problem) -> None:
        """Tells of an error, if that can still be told."""
        if self.status:
            return
        response = JSONResponse(problem.document, problem.status, dict(problem.headers), MEDIA_TYPE)
        await response({"type": "http"}, _nothing, self)


def admit(call: Call, scopes: tuple[Scope, ...], around: Surroundings) -> None:
    """Checks where the call comes from, and whose it is."""
    around.browsers.check(call.connection.headers)
    call.principal = around.authenticator.authorize(credentials(call.connection), *scopes)


def credentials(connection: HTTPConnection) -> Credentials:
    """What the caller shows. A page cannot set headers of a WebSocket, so there a subprotocol may carry the key."""
    headers = connection.headers
    offered = (one.strip() for one in headers.get("sec-websocket-protocol", "").split(","))
    in_protocol = [("x-api-key", one.removeprefix(KEY_PROTOCOL)) for one in offered if one.startswith(KEY_PROTOCOL)]
    return credentials_of([*in_protocol, *headers.items()])


@asynccontextmanager
async def attended(receive: Receive) -> AsyncIterator[None]:
    """Ends the block as soon as the caller goes away. The body of the request has been read before.

    Raises:
        Cancelled: the caller is gone.
    """
    task, gone = asyncio.current_task(), False
    if task is None:
        raise RuntimeError("only a task can be attended")

    async def listen() -> None:
        nonlocal gone
        while not (await receive())["type"].endswith(".disconnect"):
            pass
        gone = True
        task.cancel()

    listener = asyncio.create_task(listen())
    try:
        yield
    except asyncio.CancelledError:
        if not gone:
            raise
        task.uncancel()
        raise Cancelled("the caller went away") from None
    finally:
        listener.cancel()


@asynccontextmanager
async def in_time(call: Call, clock: Callable[[], float]) -> AsyncIterator[None]:
    """Ends the block at the deadline of its call, also while it waits for a caller that does not read or write.

    Raises:
        DeadlineExceeded: it did not end by itself.
    """
    limit = asyncio.timeout(None if call.deadline_s is None else call.deadline_s - clock())
    try:
        async with limit:
            yield
    except TimeoutError:
        if not limit.expired():
            raise  # somebody else's
        raise DeadlineExceeded("the deadline of the request passed before its answer was taken") from None


@asynccontextmanager
async def told(
    call: Call,
    answer: "Refusable",
    dialect: Dialect,
    around: Surroundings,
    passage: Callable[[Door], AbstractContextManager[None]] = Door.working,
) -> AsyncIterator[None]:
    """One call from its start to its line in the log; what it raises is told to the caller and goes no further."""
    error: BaseException | None = None
    with (
        around.tracing.request(call.operation, call.connection.headers.items(), "http") as span,
        logs.request_context(call.request_id, span.trace_id or call.trace_id),
    ):
        try:
            with passage(around.door):
                yield
        except asyncio.CancelledError as cancelled:
            error = cancelled
            if _is_cancelled():
                raise
            await answer.refuse(problem_of(cancelled, call.request_id, dialect))
        except Exception as failure:
            error = failure
            await answer.refuse(problem_of(failure, call.request_id, dialect))
        finally:
            code = _tell(call, answer.status, error, around)
            span.ended(code, fault=code in OUR_BUGS)


class Refusable(Protocol):
    """An answer that may become a refusal."""

    status: int

    async def refuse(self, problem: Problem) -> None: ...


def _tell(call: Call, status: int, error: BaseException | None, around: Surroundings) -> str:
    """Writes the line of a call that ended; the name of its code."""
    if isinstance(error, asyncio.CancelledError) and _is_cancelled():
        code = "CANCELLED"
    else:
        code = "OK" if error is None else row_of(error).code
    around.metrics.request(call.operation, code)
    fields: dict[str, Any] = (
        {"reason": error.reason, "message": error.message} if isinstance(error, VoxswapError) else {}
    )
    if call.principal and call.principal is not ANYONE:
        fields["caller"] = call.principal.name
    bug = error if code in OUR_BUGS else None
    logs.canonical(
        "http",
        error=bug,
        level=logging.ERROR if bug else logging.INFO,
        method=call.operation,
        code=code,
        status=status,
        duration_s=around.clock() - call.started_s,
        **fields,
    )
    return code


def _is_cancelled() -> bool:
    """Whether this very task was asked to stop, rather than something that it waited for."""
    task = asyncio.current_task()
    return task is not None and task.cancelling() > 0


async def _nothing() -> Message:
    return {"type": "http.disconnect"}
