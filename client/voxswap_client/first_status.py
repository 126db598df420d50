"""The status that a server gave to a client stream.

Knows nothing of our calls: it mends grpc.aio, which forgets the status of a server that answers while the client still
sends, and tells "Internal error from Core" instead (https://github.com/grpc/grpc/issues/36066, open in 1.85). To be
removed when that is closed.
"""

import asyncio
from collections.abc import Coroutine
from typing import Any

import grpc

_FORGOTTEN = "Internal error from Core"
_PATIENCE_S = 1.0
_LOOK_AGAIN_S = 0.005


class Status(grpc.RpcError):
    """What a server said in the end."""

    def __init__(self, code: grpc.StatusCode, details: str, trailing_metadata: Any) -> None:
        super().__init__()
        self._parts = code, details, trailing_metadata

    def code(self) -> grpc.StatusCode:
        return self._parts[0]

    def details(self) -> str:
        return self._parts[1]

    def trailing_metadata(self) -> Any:
        return self._parts[2]


class FirstStatus:
    """Watches a call from its beginning.

    Args:
        call: of grpc.aio, with a stream of requests.
    """

    def __init__(self, call: Any) -> None:
        self._call = call
        self._seen: Status | None = None
        call.add_done_callback(self._see)

    def _see(self, call: Any) -> None:
        # The callback runs as the status arrives; a task of ours would come after it was overwritten.
        self._seen = Status(_now(call.code()), _now(call.details()), _now(call.trailing_metadata()))

    async def of(self, failed: Any) -> Any:
        """The status behind an error of the call."""
        if failed.details() != _FORGOTTEN:
            return failed
        if self._seen is not None and self._seen.details() != _FORGOTTEN:
            return self._seen
        try:  # the failed write overtook the status, which is on its way
            async with asyncio.timeout(_PATIENCE_S):
                while await self._call.details() == _FORGOTTEN:  # noqa: ASYNC110 - grpc.aio tells nobody
                    await asyncio.sleep(_LOOK_AGAIN_S)
        except TimeoutError:
            return failed
        return Status(await self._call.code(), await self._call.details(), await self._call.trailing_metadata())


def _now(known: Coroutine[Any, Any, Any]) -> Any:
    """The value of a coroutine that has nothing to wait for."""
    try:
        known.send(None)
    except StopIteration as done:
        return done.value
    raise RuntimeError("the status of a call that is done should be known")
