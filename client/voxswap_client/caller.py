"""How the client for threads makes its calls: what goes along, how often it tries, what an error becomes.

Knows nothing of what is called.
"""

from collections.abc import Callable, Generator, Iterator, Sequence
from contextlib import contextmanager
from typing import Any, TypeVar

import grpc
from google.protobuf.message import Message

from voxswap_client.calls import Rpc
from voxswap_client.connection import Stubs
from voxswap_client.errors import VoxswapError, from_rpc_error
from voxswap_client.feed import Feed
from voxswap_client.opening import Opening
from voxswap_client.retry import Attempts
from voxswap_client.session import Session, new_request_id
from voxswap_client.speech import SpeechEvent

T = TypeVar("T")


class Caller:
    """Makes calls on one connection.

    Args:
        stubs: of the connection.
        session: what goes along with each call, and how long it tries.
        sleep: waits between tries, in seconds.
    """

    def __init__(self, stubs: Stubs, session: Session, sleep: Callable[[float], None]) -> None:
        self._stubs = stubs
        self._session = session
        self._sleep = sleep

    def ask(self, rpc: Rpc[T], timeout_s: float | None, request_id: str = "") -> T:
        """One answer, tried again as the session says."""
        return self._try(rpc, self._session.attempts(timeout_s), request_id or new_request_id())

    def send(self, rpc: Rpc[T], timeout_s: float | None) -> T:
        """As `ask`, for uploads: without a limit of time unless it is given one."""
        return self._try(rpc, self._session.stream_attempts(timeout_s), new_request_id())

    def listen(
        self, rpc: Rpc[Sequence[SpeechEvent]], timeout_s: float | None, request_id: str
    ) -> Generator[SpeechEvent, None, None]:
        """What a stream answers; tried again until its first audio was heard."""
        attempts = self._session.stream_attempts(timeout_s)
        while True:
            opening = Opening()
            call = self._start(rpc, _sent(rpc), attempts, request_id)
            try:
                for event in _events(rpc, call, request_id):
                    yield from opening.admit(event)
                yield from opening.rest()
            except VoxswapError as error:
                pause_s = None if opening.heard else attempts.pause_s(error, idempotent=rpc.idempotent)
                if pause_s is None:
                    raise
            else:
                return
            finally:
                call.cancel()
            self._sleep(pause_s)

    def converse(self, rpc: Rpc[Sequence[T]], timeout_s: float | None, request_id: str) -> Generator[T, None, None]:
        """What a stream in both directions answers; never tried again."""
        sent = _sent(rpc)
        call = self._start(rpc, sent, self._session.stream_attempts(timeout_s), request_id)
        try:
            yield from _events(rpc, call, request_id)
        finally:
            call.cancel()
        _check(sent)

    @contextmanager
    def watch(self, rpc: Rpc[Sequence[T]], timeout_s: float | None) -> Iterator[Iterator[T]]:
        """What a stream without end answers, which has begun when the block is entered."""
        request_id = new_request_id()
        call = self._start(rpc, _sent(rpc), self._session.stream_attempts(timeout_s), request_id)
        try:
            call.initial_metadata()  # waits until the server has begun
            yield _events(rpc, call, request_id)
        finally:
            call.cancel()

    def _start(self, rpc: Rpc[Any], sent: Message | Feed, attempts: Attempts, request_id: str) -> Any:
        method = getattr(self._stubs[rpc.service], rpc.method)
        return method(sent, timeout=attempts.left_s(), metadata=self._session.headers(rpc.metadata, request_id))

    def _try(self, rpc: Rpc[T], attempts: Attempts, request_id: str) -> T:
        while True:
            sent = _sent(rpc)
            try:
                return rpc.read(self._start(rpc, sent, attempts, request_id))
            except grpc.RpcError as failed:
                _check(sent)
                error = from_rpc_error(failed, request_id)
                pause_s = attempts.pause_s(error, idempotent=rpc.idempotent)
                if pause_s is None:
                    raise error from failed
            self._sleep(pause_s)


def _sent(rpc: Rpc[Any]) -> Message | Feed:
    return Feed(rpc.message()) if callable(rpc.message) else rpc.message


def _check(sent: Message | Feed) -> None:
    if isinstance(sent, Feed):
        sent.check()


def _events(rpc: Rpc[Sequence[T]], call: Any, request_id: str) -> Iterator[T]:
    """What a stream answers."""
    try:
        for response in call:
            yield from rpc.read(response)
    except grpc.RpcError as failed:
        raise from_rpc_error(failed, request_id) from failed
