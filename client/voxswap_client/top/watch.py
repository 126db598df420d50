"""Asks a server for one moment after another. Knows nothing of how they are drawn."""

import threading
import time
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager

from voxswap_client.client import Client
from voxswap_client.errors import VoxswapError
from voxswap_client.residency import ResidentEvent
from voxswap_client.top.numbers import Numbers, numbers_between
from voxswap_client.top.scrape import Sample, Scraper, parse
from voxswap_client.top.view import Moment

SPEECH = "voxswap.v1.SpeechService"
KEPT_EVENTS = 12


class Watch:
    """Keeps what one moment needs of those before it.

    Args:
        client: of the server; its key must be good for `metrics`.
        scraper: reads the metrics of the same server.
        clock: monotonic seconds.
    """

    def __init__(self, client: Client, scraper: Scraper, clock: Callable[[], float] = time.monotonic) -> None:
        self._client = client
        self._scraper = scraper
        self._clock = clock
        self._before: Sample | None = None
        self._events: deque[ResidentEvent] = deque(maxlen=KEPT_EVENTS)

    def moment(self) -> Moment:
        """How the server stands now, and what it did since the last call.

        Raises:
            VoxswapError: it does not answer, or refuses.
        """
        numbers, problem = self._numbers()
        return Moment(
            address=self._client.address,
            serving=self._client.health(SPEECH).serving,
            residents=self._client.list_residents(),
            stats=self._client.cache_stats(),
            numbers=numbers,
            problem=problem,
            events=tuple(self._events),
        )

    @contextmanager
    def following(self) -> Iterator[None]:
        """Collects the changes of residency while the block runs. None is missed from its start."""
        with ExitStack() as ended, self._client.watch_residents() as events:
            thread = threading.Thread(target=self._collect, args=(events,), name="voxswap-top", daemon=True)
            thread.start()
            ended.callback(thread.join)
            yield

    def _collect(self, events: Iterator[ResidentEvent]) -> None:
        try:
            self._events.extend(events)
        except VoxswapError:
            return  # the block has ended, or the server has: then whoever asks it next is told

    def _numbers(self) -> tuple[Numbers | None, str]:
        try:
            now = parse(self._scraper.text(), self._clock())
        except (OSError, ValueError) as error:
            return None, str(error)
        before, self._before = self._before, now
        return (numbers_between(before, now), "") if before else (None, "")
