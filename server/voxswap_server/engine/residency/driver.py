"""Moves the state machine of residency, one step at a time, from any thread.

One lock around it, held for microseconds; loader calls, waiters' answers, metrics, events and log lines all happen
outside it. Knows nothing of what is asked of the state machine.
"""

import threading
from collections.abc import Callable
from concurrent.futures import Future
from functools import partial
from typing import Any, TypeVar

import structlog

from voxswap_server.engine.residency.core import Residency
from voxswap_server.engine.residency.effects import Effects, Work
from voxswap_server.engine.residency.events import EventBus
from voxswap_server.engine.residency.threads import Submit, Threads
from voxswap_server.errors import EngineError, VoxswapError

log = structlog.get_logger(__name__)

ResultT = TypeVar("ResultT")


class Driver:
    """Runs steps and what they ask for.

    Args:
        core: the state machine.
        bus: gets its events.
        clock: monotonic seconds.
        submit: runs one call of the loader; None: threads of its own, begun by `start`.
    """

    def __init__(self, core: Residency, bus: EventBus, clock: Callable[[], float], submit: Submit | None) -> None:
        self._core = core
        self._bus = bus
        self._clock = clock
        self._lock = threading.Lock()
        self._idle = threading.Event()
        self._threads: Threads | None = None
        self._submit = submit

    def start(self, loader_threads: int) -> None:
        """Begins the threads, unless there is a `submit` of the caller's."""
        if self._submit is None:
            self._threads = Threads(loader_threads, self.tick, self._clock)
            self._submit = self._threads.submit

    def close(self, grace_s: float) -> bool:
        """As `ResidencyManager.close`."""
        self.step(self._core.close)
        freed = self._idle.wait(grace_s)
        if not freed:
            log.error("voices still leased at shutdown", voices=self.locked(self._core.books.roster.leased))
        if self._threads is not None:
            self._threads.stop()
        return freed

    def require_started(self) -> None:
        """Before anything is asked that somebody would wait for.

        Raises:
            EngineError: there is nobody yet to run calls of the loader.
        """
        if self._submit is None:
            raise EngineError("residency was asked for a voice before it was started")

    def tick(self) -> float | None:
        """Does what time asks for; returns the reading of the clock at which to do it again, None for never."""
        # Whoever calls is told the next moment by the answer: stirred as well, the keeper of time would never rest.
        self.step(self._core.tick, stir=False)
        return self.locked(self._core.next_deadline_s)

    def locked(self, act: Callable[[], ResultT]) -> ResultT:
        """Under the lock: a look, or a change that nobody waits for."""
        with self._lock:
            return act()

    def step(self, act: Callable[[], ResultT], *, stir: bool = True) -> ResultT:
        """One step of the state machine, then everything it asked for, without the lock.

        Args:
            act: the step.
            stir: wake the keeper of time where the next moment that matters to it may have changed.

        Raises:
            VoxswapError: the step refuses.
        """
        outcome: Future[ResultT] = Future()
        with self._lock:
            try:
                outcome.set_result(act())
            except VoxswapError as refusal:
                outcome.set_exception(refusal)
            effects = self._core.pump()
            wake = self._bus.publish(effects.events)
            if self._core.books.closing and self._core.empty:
                self._idle.set()
        wake()
        self._perform(effects, stir=stir)
        return outcome.result()

    def _perform(self, effects: Effects, *, stir: bool) -> None:
        if self._submit is not None:
            for work in effects.works:
                self._submit(work, partial(self._run, work))
        for call in effects.calls:
            try:
                call()
            except Exception:  # a metric that fails must not cost the waiters behind it their answers
                log.exception("an effect of residency failed")
        if stir and effects.stirred and self._threads is not None:
            self._threads.stir()

    def _run(self, work: Work) -> None:
        """On a loader thread: one call of the loader, and its outcome back into the state machine."""
        result: Any = None
        failure: BaseException | None = None
        try:
            result = work.run()
        except BaseException as error:  # whatever it is, whoever waits must be told
            failure = error
        self.step(partial(self._core.conclude, work, result, failure))
