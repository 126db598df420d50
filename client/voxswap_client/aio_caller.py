"""How the client for asyncio makes its calls: what goes along, how often it tries, what an error becomes.

Knows nothing of what is called.
"""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Iterator, Sequence
from contextlib import asynccontextmanager
from typing import Any, TypeVar

import grpc
from google.protobuf.message import Message

from voxswap_client.calls import Rpc
from voxswap_client.connection import Stubs
from voxswap_client.errors import VoxswapError, from_rpc_error
from voxswap_client.feed import AsyncFeed
from voxswap_client.first_status import FirstStatus
from voxswap_client.opening import Opening
from voxswap_client.retry import Attempts
from voxswap_client.session import Session, new_request_id
from voxswap_client.speech import SpeechEvent

T = TypeVar("T")


class AsyncCaller:
    """Makes calls on one connection.

    Args:
        stubs: of the connection.
        session: what goes along with each call, and how long it tries.
        sleep: waits between tries, in seconds.
    """

    def __init__(self, stubs: Stubs, session: Session, sleep: Callable[[float], Awaitable[None]]) -> None:
        self._stubs = stubs
        self._session = session
        self._sleep = sleep

    async def ask(self, rpc: Rpc[T], timeout_s: float | None, request_id: str = "") -> T:
        """One answer, tried again as the session says."""
        return await self._try(rpc, self._session.attempts(timeout_s), request_id or new_request_id())

    async def send(self, rpc: Rpc[T], timeout_s: float | None) -> T:
        """As `ask`, for uploads: without a limit of time unless it is given one."""
        return await self._try(rpc, self._session.stream_attempts(timeout_s), new_request_id())

    async def listen(
        self, rpc: Rpc[Sequence[SpeechEvent]], timeout_s: float | None, request_id: str
    ) -> AsyncGenerator[SpeechEvent, None]:
        """What a stream answers; tried again until its first audio was heard."""
        attempts = self._session.stream_attempts(timeout_s)
        while True:
            opening = Opening()
            call = self._start(rpc, _sent(rpc), attempts, request_id)
            try:
                async for event in _events(rpc, call, request_id):
                    for ready in opening.admit(event):
                        yield ready
                for ready in opening.rest():
                    yield ready
            except VoxswapError as error:
                pause_s = None if opening.heard else attempts.pause_s(error, idempotent=rpc.idempotent)
                if pause_s is None:
                    raise
            else:
                return
            finally:
                call.cancel()
            await self._sleep(pause_s)

    async def converse(
        self, rpc: Rpc[Sequence[T]], messages: AsyncIterator[Message], timeout_s: float | None, request_id: str
    ) -> AsyncGenerator[T, None]:
        """What a stream answers to these messages; never tried again."""
        sent = AsyncFeed(messages)
        call = self._start(rpc, sent, self._session.stream_attempts(timeout_s), request_id)
        try:
            async for event in _events(rpc, call, request_id, FirstStatus(call)):
                yield event
        finally:
            call.cancel()
        sent.check()

    @asynccontextmanager
    async def watch(self, rpc: Rpc[Sequence[T]], timeout_s: float | None) -> AsyncIterator[AsyncIterator[T]]:
        """What a stream without end answers, which has begun when the block is entered."""
        request_id = new_request_id()
        call = self._start(rpc, _sent(rpc), self._session.stream_attempts(timeout_s), request_id)
        try:
            await call.initial_metadata()  # waits until the server has begun
            yield _events(rpc, call, request_id)
        finally:
            call.cancel()

    def _start(self, rpc: Rpc[Any], sent: Message | AsyncFeed, attempts: Attempts, request_id: str) -> Any:
        method = getattr(self._stubs[rpc.service], rpc.method)
        return method(sent, timeout=attempts.left_s(), metadata=self._session.headers(rpc.metadata, request_id))

    async def _try(self, rpc: Rpc[T], attempts: Attempts, request_id: str) -> T:
        while True:
            sent = _sent(rpc)
            call = self._start(rpc, sent, attempts, request_id)
            told = _watched(call, sent)
            try:
                return rpc.read(await call)
            except grpc.RpcError as failed:
                _check(sent)
                error = from_rpc_error(await told.of(failed) if told else failed, request_id)
                pause_s = attempts.pause_s(error, idempotent=rpc.idempotent)
                if pause_s is None:
                    raise error from failed
            await self._sleep(pause_s)


def _sent(rpc: Rpc[Any]) -> Message | AsyncFeed:
    return AsyncFeed(_read_aside(rpc.message())) if callable(rpc.message) else rpc.message


def _check(sent: Message | AsyncFeed) -> None:
    if isinstance(sent, AsyncFeed):
        sent.check()


def _watched(call: Any, sent: Message | AsyncFeed) -> FirstStatus | None:
    return FirstStatus(call) if isinstance(sent, AsyncFeed) else None


async def _events(
    rpc: Rpc[Sequence[T]], call: Any, request_id: str, told: FirstStatus | None = None
) -> AsyncIterator[T]:
    """What a stream answers."""
    try:
        async for response in call:
            for event in rpc.read(response):
                yield event
    except grpc.RpcError as failed:
        raise from_rpc_error(await told.of(failed) if told else failed, request_id) from failed


async def _read_aside(messages: Iterator[Message]) -> AsyncIterator[Message]:
    """Reads files in a thread, so that the loop does not wait for a disk."""
    while (message := await asyncio.to_thread(next, messages, None)) is not None:
        yield message
