"""The threads behind residency: loader threads, one that frees, and one that keeps time.

Knows nothing of voices. Calls that free memory have a thread of their own: loads wait for them, never the reverse.
"""

import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

from voxswap_server.engine.residency.effects import Work

Submit = Callable[[Work, Callable[[], None]], None]
"""Runs a call of the loader, given what it is and how to run it."""


class Threads:
    """Begun at once; ended by `stop`.

    Args:
        loaders: calls that load at once.
        tick: does what time asks for and returns when to do it again, as a reading of `clock`; None for never.
        clock: monotonic seconds.
    """

    def __init__(self, loaders: int, tick: Callable[[], float | None], clock: Callable[[], float]) -> None:
        self._tick = tick
        self._clock = clock
        self._loading = ThreadPoolExecutor(loaders, thread_name_prefix="voxswap-load")
        self._freeing = ThreadPoolExecutor(1, thread_name_prefix="voxswap-free")
        self._stirred = threading.Event()
        self._stopping = False
        self._keeper = threading.Thread(target=self._keep_time, name="voxswap-residency-time", daemon=True)
        self._keeper.start()

    def submit(self, work: Work, run: Callable[[], None]) -> None:
        pool = self._freeing if work.kind.frees else self._loading
        try:
            pool.submit(run)
        except RuntimeError:
            # Stopped while leases were out: what they free when they come back is freed on their own thread.
            if not self._stopping:
                raise
            run()

    def stir(self) -> None:
        """The next moment at which time matters may have changed."""
        self._stirred.set()

    def stop(self) -> None:
        """Ends every thread after the call that it is in."""
        self._stopping = True
        self._stirred.set()
        self._keeper.join()
        self._loading.shutdown()
        self._freeing.shutdown()

    def _keep_time(self) -> None:
        while not self._stopping:
            self._stirred.clear()
            deadline_s = self._tick()
            self._stirred.wait(None if deadline_s is None else max(0.0, deadline_s - self._clock()))
