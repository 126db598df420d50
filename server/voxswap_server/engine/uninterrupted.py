"""Waiting for something that must come to its end first."""

import asyncio
from collections.abc import Awaitable
from typing import TypeVar

T = TypeVar("T")


async def uninterrupted(awaitable: Awaitable[T]) -> T:
    """Waits even if the waiting task is cancelled meanwhile; the cancellation comes after it."""
    future, cancelled = asyncio.ensure_future(awaitable), False
    while not future.done():
        try:
            await asyncio.shield(future)
        except asyncio.CancelledError:
            cancelled = True
        except Exception:  # noqa: S110 - raised below, after the loop
            pass
    if cancelled:
        future.exception()  # taken notice of
        raise asyncio.CancelledError
    return future.result()
