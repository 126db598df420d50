"""A live stream as something to hold: say things to it, and read what it answers.

Knows nothing of calls or messages; the clients feed a session's inputs to a call.
"""

import asyncio
import queue
from collections.abc import AsyncGenerator, AsyncIterator, Generator, Iterator
from typing import Final, Self

from voxswap_client.live import (
    CancelUtterance,
    Flush,
    LiveEvent,
    LiveInput,
    Playhead,
    SetSpeakingRate,
    SwitchPoint,
    SwitchVoice,
    Text,
)


class _End:
    """No more inputs."""


_END: Final = _End()


class Saying:
    """What may be said in a live stream. Nothing here waits."""

    def send(self, given: LiveInput) -> None:
        """Sends one input."""
        raise NotImplementedError

    def say(self, text: str) -> None:
        """A piece of text, such as a few tokens of a language model; the server cuts sentences."""
        self.send(Text(text))

    def flush(self) -> None:
        """Speak what is buffered, even if the sentence seems unfinished."""
        self.send(Flush())

    def switch(self, voice_id: str, at: SwitchPoint = SwitchPoint.NEXT_SENTENCE, crossfade_ms: int = 0) -> None:
        """Change the voice; VoiceChanged tells from which sample on it is heard."""
        self.send(SwitchVoice(voice_id, at, crossfade_ms))

    def set_speaking_rate(self, speaking_rate: float) -> None:
        """> 1 is faster; from the next sentence on that has not begun."""
        self.send(SetSpeakingRate(speaking_rate))

    def stop(self) -> None:
        """Barge-in: stop speaking and forget the text; UtteranceCancelled tells what was heard."""
        self.send(CancelUtterance())

    def playhead(self, sample: int) -> None:
        """The listener is at this sample."""
        self.send(Playhead(sample))


class LiveSession(Saying):
    """For threads. Any thread may say things while one reads the events, by iterating over the session."""

    def __init__(self) -> None:
        self._inputs: queue.SimpleQueue[LiveInput | _End] = queue.SimpleQueue()
        self._events: Generator[LiveEvent, None, None] | None = None

    def send(self, given: LiveInput) -> None:
        self._inputs.put(given)

    def end(self) -> None:
        """No more will be said: what is buffered is spoken, and the events come to their end."""
        self._inputs.put(_END)

    def inputs(self) -> Iterator[LiveInput]:
        """What is said, until its end."""
        while not isinstance(given := self._inputs.get(), _End):
            yield given

    def reading(self, events: Generator[LiveEvent, None, None]) -> Self:
        """Where the events come from."""
        self._events = events
        return self

    def __iter__(self) -> Iterator[LiveEvent]:
        if self._events is None:
            raise RuntimeError("a session is made by Client.live")
        return self._events


class AsyncLiveSession(Saying):
    """For asyncio."""

    def __init__(self) -> None:
        self._inputs: asyncio.Queue[LiveInput | _End] = asyncio.Queue()
        self._events: AsyncGenerator[LiveEvent, None] | None = None

    def send(self, given: LiveInput) -> None:
        self._inputs.put_nowait(given)

    def end(self) -> None:
        """No more will be said: what is buffered is spoken, and the events come to their end."""
        self._inputs.put_nowait(_END)

    async def inputs(self) -> AsyncIterator[LiveInput]:
        """What is said, until its end."""
        while not isinstance(given := await self._inputs.get(), _End):
            yield given

    def reading(self, events: AsyncGenerator[LiveEvent, None]) -> Self:
        """Where the events come from."""
        self._events = events
        return self

    def __aiter__(self) -> AsyncIterator[LiveEvent]:
        if self._events is None:
            raise RuntimeError("a session is made by AsyncClient.live")
        return aiter(self._events)
