"""What every call gets, unary or stream: ids, one canonical log line, a count, and errors as statuses.

Knows nothing of what calls mean. Servicers raise errors of the tree; here, and nowhere else, they become statuses.
"""

import asyncio
import inspect
import logging
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AbstractContextManager, aclosing, asynccontextmanager, nullcontext
from functools import partial
from typing import Any, Protocol

import grpc
from google.protobuf.message import DecodeError
from grpc import aio

from voxswap_server import logs
from voxswap_server.door import Door
from voxswap_server.errors import Cancelled, RequestError, VoxswapError
from voxswap_server.rpc.calls import Call, Context, open_call
from voxswap_server.rpc.guard import Guard
from voxswap_server.rpc.status import code_of, status_of
from voxswap_server.tracing import NO_TRACING, RequestSpan, Tracing

OUR_BUGS = (grpc.StatusCode.INTERNAL, grpc.StatusCode.DATA_LOSS)
PROBES = ("grpc.health.", "grpc.reflection.")
"""Packages whose calls are neither work nor news."""
OBSERVERS = ("voxswap.v1.ModelAdminService/WatchResidents",)
"""Streams that never end by themselves."""
KIND = "grpc"
"""Of the spans."""
LATE_S = 0.1
"""A caller gives up when its own clock says so, a journey before ours does: this close to the deadline it was that."""

Handler = Any  # grpc.RpcMethodHandler is generic over messages that an interceptor does not know
Behavior = Callable[[Any, Context], Any]


class RpcMetrics(Protocol):
    def request(self, method: str, code: str) -> None:
        """A request ended; `method` is package.Service/Method, `code` the name of its status code."""
        ...


class Telemetry(aio.ServerInterceptor):
    """Wraps every handler of the server.

    Args:
        metrics: told of each request that ends.
        door: which requests pass through.
        guard: says who may.
        tracing: where spans go.
        clock: monotonic seconds.
    """

    def __init__(
        self,
        metrics: RpcMetrics,
        door: Door,
        guard: Guard,
        clock: Callable[[], float] = time.monotonic,
        tracing: Tracing = NO_TRACING,
    ) -> None:
        self._metrics = metrics
        self._door = door
        self._guard = guard
        self._clock = clock
        self._tracing = tracing

    async def intercept_service(
        self,
        continuation: Callable[[grpc.HandlerCallDetails], Awaitable[Handler]],
        handler_call_details: grpc.HandlerCallDetails,
    ) -> Handler:
        handler = await continuation(handler_call_details)
        if handler is None:
            return None
        method = handler_call_details.method.lstrip("/")
        kind = "_".join(
            "stream" if streams else "unary" for streams in (handler.request_streaming, handler.response_streaming)
        )
        wrap = self._stream if handler.response_streaming else self._unary
        make = getattr(grpc, f"{kind}_rpc_method_handler")
        # gRPC answers UNKNOWN to a message that it cannot read, so the messages are read here.
        read = _each if handler.request_streaming else _one
        parse = partial(read, handler.request_deserializer)
        return make(wrap(method, parse, getattr(handler, kind)), response_serializer=handler.response_serializer)

    def _unary(self, method: str, parse: Callable[[Any], Any], inner: Behavior) -> Behavior:
        async def answer(request: Any, context: Context) -> Any:
            async with self._told(method, context) as call:
                response = await inner(parse(request), context)
                await call.send_headers(context)
                return response

        return answer

    def _stream(self, method: str, parse: Callable[[Any], Any], inner: Behavior) -> Behavior:
        async def answer(request: Any, context: Context) -> None:
            async with self._told(method, context) as call:
                if not inspect.isasyncgenfunction(inner):
                    await inner(parse(request), context)  # writes to the context by itself
                    return
                # Closed here, whatever happens: a generator that is only dropped would end whenever it is collected.
                async with aclosing(inner(parse(request), context)) as responses:
                    async for response in responses:
                        await call.send_headers(context)
                        await _write(context, response)
                await call.send_headers(context)

        return answer

    @asynccontextmanager
    async def _told(self, method: str, context: Context) -> AsyncIterator[Call]:
        call = open_call(method, context, self._clock)
        error: BaseException | None = None
        with self._span(method, context) as span, logs.request_context(call.request_id, span.trace_id or call.trace_id):
            try:
                call.principal = self._guard.admit(method, context)
                with self._passage(method):
                    yield call
            except aio.AbortError:
                raise  # a library's servicer has set the status itself
            except asyncio.CancelledError as cancelled:
                error = cancelled
                if _is_cancelled():
                    raise
                await self._refuse(call, context, cancelled)
            except Exception as failure:
                error = failure
                await self._refuse(call, context, failure)
            finally:
                code = self._code(call, context, error)
                self._tell(call, code, error)
                span.ended(code.name, fault=code in OUR_BUGS)

    def _span(self, method: str, context: Context) -> AbstractContextManager[RequestSpan]:
        if method.startswith(PROBES):
            return NO_TRACING.request(method, (), KIND)
        metadata = ((key, value) for key, value in context.invocation_metadata() or () if isinstance(value, str))
        return self._tracing.request(method, metadata, KIND)

    def _passage(self, method: str) -> AbstractContextManager[None]:
        if method.startswith(PROBES):
            return nullcontext()
        return self._door.observing() if method in OBSERVERS else self._door.working()

    async def _refuse(self, call: Call, context: Context, error: BaseException) -> None:
        try:
            await call.send_headers(context)
            await context.abort_with_status(status_of(error, call.request_id))
        except aio.InternalError as gone:
            raise asyncio.CancelledError from gone  # nobody is left to tell; gRPC takes this quietly

    def _code(self, call: Call, context: Context, error: BaseException | None) -> grpc.StatusCode:
        """What the caller saw, or would have seen had it waited."""
        if error is None:
            return context.code() or grpc.StatusCode.OK
        if isinstance(error, Cancelled) or _is_cancelled():
            late = call.deadline_s is not None and self._clock() >= call.deadline_s - LATE_S
            return grpc.StatusCode.DEADLINE_EXCEEDED if late else grpc.StatusCode.CANCELLED
        return code_of(error)

    def _tell(self, call: Call, code: grpc.StatusCode, error: BaseException | None) -> None:
        self._metrics.request(call.method, code.name)
        level = logging.DEBUG if call.method.startswith(PROBES) else logging.INFO
        fields = {"reason": error.reason, "message": error.message} if isinstance(error, VoxswapError) else {}
        bug = error if code in OUR_BUGS else None
        logs.canonical(
            "rpc",
            error=bug,
            level=logging.ERROR if bug else level,
            method=call.method,
            code=code.name,
            duration_s=self._clock() - call.started_s,
            **fields,
        )


def _one(deserialize: Callable[[bytes], Any], message: bytes) -> Any:
    try:
        return deserialize(message)
    except DecodeError as error:
        raise RequestError("the message cannot be read: it is not what this method takes") from error


async def _each(deserialize: Callable[[bytes], Any], messages: AsyncIterator[bytes]) -> AsyncIterator[Any]:
    async for message in messages:
        yield _one(deserialize, message)


async def _write(context: Context, response: Any) -> None:
    try:
        await context.write(response)
    except aio.InternalError as gone:
        raise Cancelled("the caller is gone") from gone


def _is_cancelled() -> bool:
    """Whether this very task was asked to stop, rather than something that it waited for."""
    task = asyncio.current_task()
    return task is not None and task.cancelling() > 0
