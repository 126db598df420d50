"""A request as the device thread sees it: strands that ask for work, and an outbox for its audio.

Knows nothing of torch or of what the work computes. A routine is a plain generator: it yields one of the work types
below, is sent the result back, and holds all state of its request in its own local variables. So jobs can be advanced
in any order, dropped at any step, and batched with one another, without any of them knowing. A routine may begin others
beside it: each strand waits for its own work, so that tokens are drawn while earlier ones become audio.
"""

import asyncio
import threading
from collections import deque
from collections.abc import AsyncIterator, Callable, Generator, Hashable
from concurrent.futures import Future
from dataclasses import dataclass, field
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from voxswap_server.domain import Notice
from voxswap_server.engine.playback import Playback
from voxswap_server.engine.timeline import Timeline

Samples = NDArray[np.float32]


class Growth(Protocol):
    """Of work that grows while it waits, and costs less in all where it is done at once."""

    def later_s(self) -> float:
        """By how many seconds it is wanted later where it may be put off; 0 once it does not grow any more."""
        ...

    def gather(self, *, whole: bool) -> None:
        """Its call will do all that is there by then; else it does what it does whenever it is alone.

        Args:
            whole: nobody waits for the beginning of it alone.
        """
        ...


@dataclass(frozen=True, slots=True)
class DeviceCall:
    """Work for the device thread; calls with equal batch keys may run as one."""

    stage: str
    """What it is booked under: prompt, t2s, decode."""
    run: Callable[[list[Any]], list[Any]]
    """Takes the payloads of the calls that run together, returns their results in order."""
    payload: Any = None
    batch_key: Hashable | None = None
    """None: it runs alone."""
    cost: int = 1
    """Positions it brings to a batch."""
    later_s: float = 0.0
    """Seconds of this request's audio that are on their way already: so much later than theirs is this work wanted."""
    growth: Growth | None = None
    """None: it is what it is."""


@dataclass(frozen=True, slots=True)
class Begin:
    """Starts a strand beside the present one; answered at once with the Future of what it will return.

    It ends with its request. Its failure is nobody's but who awaits the Future.
    """

    routine: "Generator[Work, Any, Any]"


@dataclass(frozen=True, slots=True)
class Await:
    """The routine cannot go on before this is done; the device does other work meanwhile."""

    future: "Future[Any]"
    stage: str = ""
    """What the wait is booked under; "" is not."""


@dataclass(frozen=True, slots=True)
class Emit:
    """Audio (samples,) float32 at the job's rate, ready to be heard."""

    samples: Samples


@dataclass(frozen=True, slots=True)
class UtteranceSpoken:
    """An utterance is complete."""

    semantic_tokens: int
    samples: int


@dataclass(frozen=True, slots=True)
class Span:
    """Something that is heard, in samples from the beginning of its utterance, at the job's rate."""

    label: str
    start_sample: int
    end_sample: int


@dataclass(frozen=True, slots=True)
class UtteranceAligned:
    """Where words, as they are written, phones and visemes of an utterance lie; comes before UtteranceSpoken."""

    words: tuple[Span, ...]
    phones: tuple[Span, ...]
    """One after another; what lies between two of them is silence."""
    visemes: tuple[Span, ...]
    """Without a gap, from 0 to `samples`."""
    samples: int
    """Of its audio, all of which came before this; its pause comes after it."""


@dataclass(frozen=True, slots=True)
class UtteranceRetried:
    """What an utterance became was not fit to be heard; it is spoken once more, with another seed."""

    fault: str
    """Of `DegenerateAudio`."""
    message: str


@dataclass(frozen=True, slots=True)
class Tell:
    """Something for the reader that is not audio, in its place between the pieces of audio."""

    note: Notice | UtteranceAligned | UtteranceSpoken | UtteranceRetried


Work = DeviceCall | Begin | Await | Emit | Tell
Item = Samples | Notice | UtteranceAligned | UtteranceSpoken | UtteranceRetried
Routine = Generator[Work, Any, None]


class Outbox:
    """Audio on its way from the device thread to one asyncio reader.

    The device thread never blocks on it: it asks `ahead_s` and leaves the job alone while that is too much, so a
    reader that stalls holds up only itself.
    """

    def __init__(self, rate_hz: int, loop: asyncio.AbstractEventLoop, on_taken: Callable[[], None]) -> None:
        self._rate_hz = rate_hz
        self._loop = loop
        self._on_taken = on_taken
        self._lock = threading.Lock()
        self._items: deque[Item] = deque()
        self._waiting_samples = 0
        self._closed = False
        self._error: BaseException | None = None
        self._changed = asyncio.Event()

    @property
    def ahead_s(self) -> float:
        """Seconds of audio that wait for the reader."""
        with self._lock:
            return self._waiting_samples / self._rate_hz

    def put(self, item: Item) -> None:
        """Adds a piece of audio (samples,) or a note; called by the device thread."""
        with self._lock:
            self._items.append(item)
            self._waiting_samples += _samples_of(item)
        self._wake_reader()

    def close(self, error: BaseException | None = None) -> None:
        """No more audio; `error` is raised in the reader after what was put before it."""
        with self._lock:
            if self._closed:
                return
            self._closed, self._error = True, error
        self._wake_reader()

    async def items(self) -> AsyncIterator[Item]:
        """Yields audio and notes in order until the outbox is closed.

        Raises:
            BaseException: the error it was closed with.
        """
        while True:
            self._changed.clear()
            with self._lock:
                item = self._items.popleft() if self._items else None
                closed = self._closed
            if item is not None:
                yield item
                # After the reader is done with it: audio counts as ahead until it was really sent.
                with self._lock:
                    self._waiting_samples -= _samples_of(item)
                self._on_taken()
            elif closed:
                if self._error is not None:
                    raise self._error
                return
            else:
                await self._changed.wait()

    def _wake_reader(self) -> None:
        try:
            self._loop.call_soon_threadsafe(self._changed.set)
        except RuntimeError:
            # The reader's loop is closed: nobody is left to tell.
            return


def _samples_of(item: Item) -> int:
    return item.size if isinstance(item, np.ndarray) else 0


@dataclass(slots=True, eq=False)
class Strand:
    """One routine of a job; the job's first one is the job."""

    number: int
    """In the order in which strands were begun, over all jobs."""
    job: "Job"
    routine: Generator[Work, Any, Any]
    result: "Future[Any]"
    pending: DeviceCall | Await | None = None
    since_s: float = 0.0
    """When it began to wait for what is pending."""


@dataclass(slots=True, eq=False)
class Job:
    """One admitted request on the device thread. Its mutable half belongs to that thread alone."""

    number: int
    request_id: str
    outbox: Outbox
    rate_hz: int
    accepted_s: float
    """Reading of the monotonic clock."""
    deadline_s: float | None
    ended: "Future[None]"
    """Done once the device thread has let go of the strands and of everything in them."""
    batch: bool = False
    """Nobody listens while it is made."""
    strands: list[Strand] = field(default_factory=list)
    """Those that have not ended; the first is the job."""
    device_s: float = 0.0
    """What its calls took, its share of those that others rode along in."""
    timeline: Timeline = field(default_factory=Timeline)
    """When it was in which stage."""
    playback: Playback = field(default_factory=Playback)
    """Of what left the device."""
