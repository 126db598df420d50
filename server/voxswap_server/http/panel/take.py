"""One sentence in one voice, made ahead of being heard.

Knows nothing of listeners.
"""

import asyncio
from collections.abc import Callable
from contextlib import aclosing

from voxswap_server.domain import AudioChunk, Notice, SynthesisDone, SynthesisEvent, SynthesisRequest, Synthesizer

MOST_EVENTS = 256
"""Of one take that wait to be heard; what makes them waits for room."""


class Take:
    """Starts to be made at once, or when the one before it is made.

    Args:
        synthesizer: the engine, or a fake of it.
        request: asked for when it starts.
        after: the take before it.
    """

    def __init__(
        self, synthesizer: Synthesizer, request: Callable[[], SynthesisRequest], after: "Take | None" = None
    ) -> None:
        self._synthesizer = synthesizer
        self._request = request
        self._after = after
        self._events: asyncio.Queue[SynthesisEvent | None] = asyncio.Queue()
        self._room = asyncio.Semaphore(MOST_EVENTS)
        self._audible = asyncio.Event()
        self._making = asyncio.create_task(self._make())
        self.voice_id = ""
        """Who speaks; "" until it has started."""

    async def audible(self) -> None:
        """Waits until there is something to hear.

        Raises:
            VoxswapError: there never will be.
        """
        await self._audible.wait()
        if self._making.done():
            self._making.result()

    async def next(self) -> AudioChunk | Notice | SynthesisDone | None:
        """What comes next; None is the end.

        Raises:
            VoxswapError: it failed.
        """
        while True:
            event = await self._events.get()
            if event is None:
                await self._making
                return None
            self._room.release()
            if isinstance(event, AudioChunk | Notice | SynthesisDone):
                return event

    async def aclose(self) -> None:
        """Nothing of it is made any more when this returns."""
        self._making.cancel()
        await asyncio.wait({self._making})
        if not self._making.cancelled():
            self._making.exception()  # it may have failed unheard

    async def _make(self) -> None:
        try:
            if self._after is not None:
                await asyncio.wait({self._after._making})  # noqa: SLF001 - of the same class
            request = self._request()
            self.voice_id = request.voice_id
            async with aclosing(self._synthesizer.synthesize(request)) as events:
                async for event in events:
                    await self._room.acquire()
                    self._events.put_nowait(event)
                    if isinstance(event, AudioChunk):
                        self._audible.set()
        finally:
            self._events.put_nowait(None)
            self._audible.set()
