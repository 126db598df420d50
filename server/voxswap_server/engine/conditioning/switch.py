"""Whether a store is asked at all: off from a failure until a probe says that it is well again.

Knows nothing of what a store is. One line is logged for each change, however many requests notice it; requests never
pay for finding out: the probe runs behind their backs.
"""

import threading
import time
from collections.abc import Callable
from concurrent.futures import Executor

import structlog

log = structlog.get_logger(__name__)


class Switch:
    """On until `failed`. Thread-safe.

    Args:
        name: of the store.
        doing: what it is asked for: read or write.
        probe: raises while the store is still not well.
        executor: where the probe runs.
        retry_s: time between a failure and the next probe.
        clock: monotonic seconds.
    """

    def __init__(
        self,
        name: str,
        doing: str,
        probe: Callable[[], None],
        executor: Executor,
        retry_s: float,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._log = log.bind(layer=name, doing=doing)
        self._probe = probe
        self._executor = executor
        self._retry_s = retry_s
        self._clock = clock
        self._lock = threading.Lock()
        self._off_since_s: float | None = None
        self._probe_at_s = 0.0
        """Only while it is off."""
        self._probing = False

    def allows(self) -> bool:
        """Whether to ask the store now. Where not, it begins a probe if one is due."""
        with self._lock:
            if self._off_since_s is None:
                return True
            if self._probing or self._clock() < self._probe_at_s:
                return False
            self._probing = True
        try:
            self._executor.submit(self._try_again)
        except RuntimeError:  # the executor is shut down: nobody will ask again
            self._settle(RuntimeError("closed"))
        return False

    def failed(self, error: BaseException) -> None:
        """The store did not do what it was asked for."""
        with self._lock:
            now_s = self._clock()
            first, self._off_since_s = self._off_since_s is None, self._off_since_s or now_s
            self._probe_at_s = now_s + self._retry_s
        if first:
            # Only the kind: messages of libraries hold addresses and more.
            self._log.warning("cache layer left alone", problem=type(error).__name__, retry_s=self._retry_s)

    def _try_again(self) -> None:
        try:
            self._probe()
        except Exception as error:
            self._settle(error)
        else:
            self._settle(None)

    def _settle(self, error: BaseException | None) -> None:
        with self._lock:
            self._probing = False
            if error is not None:
                self._probe_at_s = self._clock() + self._retry_s
                return
            away_s = self._clock() - (self._off_since_s or 0.0)
            self._off_since_s = None
        self._log.info("cache layer is back", away_s=round(away_s, 3))
