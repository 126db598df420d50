"""A voice that a live stream holds: a lease that outlives the takes that are made with it.

Knows nothing of what the takes are.
"""

import asyncio
from collections.abc import Coroutine
from contextlib import AbstractAsyncContextManager, suppress
from typing import Any

from voxswap_server.engine.live.performer import Performer
from voxswap_server.engine.uninterrupted import uninterrupted

Task = asyncio.Task[None]


class Hold:
    """Begins to lease at once. All methods belong to one event loop.

    Args:
        performing: yields the performer, and returns it to the server when it is left.
    """

    def __init__(self, performing: AbstractAsyncContextManager[Performer]) -> None:
        self.ready: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        """Done with the voice; or has why there is none; cancelled where nobody waits any more."""
        self._performer: Performer | None = None
        self._let_go = asyncio.Event()
        self._takes: set[Task] = set()
        self._task = asyncio.create_task(self._run(performing))

    @property
    def performer(self) -> Performer:
        """The voice, from when it is ready until it goes back; whoever asks must not keep it longer.

        Raises:
            RuntimeError: at any other time.
        """
        if self._performer is None:
            raise RuntimeError("the voice of this hold is not there")
        return self._performer

    @property
    def ended(self) -> bool:
        """The voice went back, or never came."""
        return self._task.done()

    def begin(self, take: Coroutine[Any, Any, None]) -> Task:
        """Starts a take; cancelling the task stops it."""
        task = asyncio.create_task(take)
        self._takes.add(task)
        task.add_done_callback(self._ended)
        return task

    def let_go(self) -> None:
        """No more takes will begin: the voice goes back when those that run have ended."""
        self._let_go.set()
        if not self.ready.done():
            self._task.cancel()  # it waits for a voice that nobody wants

    async def close(self) -> None:
        """Stops all takes and gives the voice back."""
        for task in self._takes:
            task.cancel()
        self._task.cancel()
        await asyncio.wait([self._task])

    async def _run(self, performing: AbstractAsyncContextManager[Performer]) -> None:
        try:
            async with performing as performer:
                self._performer = performer
                self.ready.set_result(None)
                try:
                    await self._let_go.wait()
                finally:
                    await uninterrupted(self._all_ended())
                    self._performer = None  # the stream that has this hold may live on for hours
        except asyncio.CancelledError:
            self.ready.cancel()
        except Exception as error:
            if self.ready.done():
                raise
            self.ready.set_exception(error)

    def _ended(self, take: Task) -> None:
        self._takes.discard(take)
        with suppress(asyncio.CancelledError):
            take.exception()  # until somebody asks, a cancelled task keeps its traceback, and that keeps the voice

    async def _all_ended(self) -> None:
        while self._takes:
            await asyncio.wait(self._takes)
