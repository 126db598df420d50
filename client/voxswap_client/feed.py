"""What a client stream sends, where its source may fail.

Knows nothing of messages. gRPC turns an error of the source into a cancelled call, which says nothing; here it ends the
stream, and is kept for whoever waits for the answer.
"""

from collections.abc import AsyncIterator, Iterator
from typing import Any


class Feed:
    """Iterates over a source until it ends or fails."""

    def __init__(self, source: Iterator[Any]) -> None:
        self._source = source
        self._error: Exception | None = None

    def __iter__(self) -> Iterator[Any]:
        return self

    def __next__(self) -> Any:
        try:
            return next(self._source)
        except StopIteration:
            raise
        except Exception as error:
            self._error = error
            raise StopIteration from None

    def check(self) -> None:
        """Raises what the source raised, if it did."""
        if self._error is not None:
            raise self._error


class AsyncFeed:
    """The same for asyncio."""

    def __init__(self, source: AsyncIterator[Any]) -> None:
        self._source = source
        self._error: Exception | None = None

    def __aiter__(self) -> AsyncIterator[Any]:
        return self

    async def __anext__(self) -> Any:
        try:
            return await anext(self._source)
        except StopAsyncIteration:
            raise
        except Exception as error:
            self._error = error
            raise StopAsyncIteration from None

    def check(self) -> None:
        """Raises what the source raised, if it did."""
        if self._error is not None:
            raise self._error
