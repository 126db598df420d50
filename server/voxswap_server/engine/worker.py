"""The one device thread: it alone touches the device, and advances jobs.

Knows nothing of torch, of networks or of gRPC: it runs the calls that routines ask for, in the order that the
scheduler says. A failure ends the job whose call failed, never its neighbours: when a batch fails, its calls are
tried again one by one.
"""

import itertools
import threading
import time
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import Future
from dataclasses import dataclass
from typing import Final, Protocol

from voxswap_server.engine.job import DeviceCall, Job, Outbox, Routine, Strand
from voxswap_server.engine.scheduler import Candidate, Patience, PuttingOff, SchedulerConfig, deadline_of, pick
from voxswap_server.engine.strands import Strands
from voxswap_server.errors import Cancelled, DeadlineExceeded, Draining, VoxswapError

_PUTTING_OFF: Final = PuttingOff()
_RECENT: Final = 0.25
"""How much the last of several calls says about the next one."""


class WorkerMetrics(Protocol):
    """What the device thread reports."""

    def stage(self, stage: str, seconds: float) -> None: ...
    def batch(self, rows: int) -> None: ...


@dataclass(frozen=True, slots=True)
class WorkerConfig:
    max_ahead_s: float = 10.0
    """Audio that may wait for a reader before its job pauses."""
    patience_s: float = 0.3
    """How long a new stream may be silent before it outranks streams that still have audio ahead."""
    batch_patience_s: float = 10.0
    """How long a job to which nobody listens (a unary request) gives way to streams."""


class Worker:
    """Runs jobs on a thread of its own.

    Args:
        scheduling: how calls are batched.
        config: limits of one job.
        metrics: told of each device call.
        on_device_thread: entered around the thread's life (inference mode, thread counts).
        rescue: called with the exception of a failed call; True means that memory was made and one retry is worth it.
        explain: the typed error that stands for an exception of the device; None for a bug of ours.
        clock: monotonic seconds.
    """

    def __init__(
        self,
        scheduling: SchedulerConfig,
        config: WorkerConfig,
        metrics: WorkerMetrics,
        *,
        on_device_thread: Callable[[Callable[[], None]], None] = lambda body: body(),
        rescue: Callable[[Exception], bool] = lambda _error: False,
        explain: Callable[[BaseException], VoxswapError | None] = lambda _error: None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._scheduling = scheduling
        self._config = config
        self._metrics = metrics
        self._rescue = rescue
        self._clock = clock
        self._numbers = itertools.count()
        self._changed = threading.Condition()
        self._dirty = False
        self._stopping = False
        self._arrivals: list[tuple[Job, Routine]] = []
        self._cancelled: dict[int, VoxswapError] = {}
        self._patience = Patience(config.patience_s, config.batch_patience_s)
        self._strands = Strands(self.wake, explain, clock)  # the device thread's own
        self._grown_s = 0.0
        """What a call that had grown took of late: the device thread's own."""
        self._thread = threading.Thread(target=on_device_thread, args=(self._loop,), name="voxswap-device", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def stop(self, timeout_s: float = 10.0) -> None:
        """Ends every job with `Draining` and joins the thread."""
        with self._changed:
            self._stopping = True
        self.wake()
        if self._thread.is_alive():
            self._thread.join(timeout_s)

    def wake(self) -> None:
        """Something a job waits for has changed."""
        with self._changed:
            self._dirty = True
            self._changed.notify()

    def submit(
        self,
        request_id: str,
        routine: Routine,
        outbox: Outbox,
        *,
        rate_hz: int,
        accepted_s: float,
        deadline_s: float | None,
        batch: bool = False,
    ) -> Job:
        """Hands a routine over to the device thread. The job's `ended` is done when the thread has let go of it.

        Args:
            request_id: for the log.
            routine: of the job; what it begins beside itself ends with it.
            outbox: where its audio goes.
            rate_hz: of that audio.
            accepted_s: when the request was admitted.
            deadline_s: when the job ends, done or not; None: never.
            batch: nobody listens before all of it is there, so it gives way to streams.

        Raises:
            Draining: the worker is stopping.
        """
        ended: Future[None] = Future()
        job = Job(next(self._numbers), request_id, outbox, rate_hz, accepted_s, deadline_s, ended=ended, batch=batch)
        with self._changed:
            if self._stopping:
                raise Draining("the server is shutting down; try another one")
            self._arrivals.append((job, routine))
        self.wake()
        return job

    def cancel(self, job: Job, why: VoxswapError | None = None) -> None:
        """Ends a job before its next device call. Cancelling one that has ended does nothing."""
        with self._changed:
            if not job.ended.done():
                self._cancelled[job.number] = why or Cancelled("the request was cancelled")
        self.wake()

    # --- the device thread -------------------------------------------------------------------------------------

    def _loop(self) -> None:
        stopping = False
        while not stopping:
            stopping = self._hear()
            for job in self._overdue():
                self._strands.end(job, DeadlineExceeded("the deadline of the request passed while it was being spoken"))
            if not stopping and self._step():
                with self._changed:
                    self._dirty = True
        for job in list(self._strands.jobs.values()):
            self._strands.end(job, Draining("the server is shutting down; try another one"))

    def _hear(self) -> bool:
        """Waits for news and takes it in: arrivals, cancellations. True when the worker is stopping."""
        with self._changed:
            while not (self._dirty or self._stopping or self._overdue()):
                self._changed.wait(self._seconds_to_next_deadline())
            self._dirty = False
            stopping = self._stopping
            arrivals, self._arrivals = self._arrivals, []
            cancelled, self._cancelled = self._cancelled, {}
        for job, routine in arrivals:
            strand = self._strands.admit(job, routine)
            if job.number not in cancelled:
                self._strands.advance(strand, None)
        for number, why in cancelled.items():
            if number in self._strands.jobs:
                self._strands.end(self._strands.jobs[number], why)
        return stopping

    def _step(self) -> bool:
        """One device call; False when no job can use the device now."""
        self._strands.resume()
        chosen = [self._strands.strands[number] for number in pick(self._candidates(), self._scheduling)]
        if chosen:
            self._call(chosen)
        return bool(chosen)

    def _candidates(self) -> list[Candidate]:
        found: list[Candidate] = []
        ready = [job for job in self._strands.jobs.values() if job.outbox.ahead_s < self._config.max_ahead_s]
        leisurely = self._leisurely(ready)
        for job in ready:
            deadline_s = deadline_of(
                accepted_s=job.accepted_s,
                first_audio_s=job.playback.started_s,
                sent_audio_s=job.playback.sent_s,
                batch=job.batch,
                patience=self._patience,
            )
            for strand in job.strands:
                call = strand.pending
                if isinstance(call, DeviceCall):
                    later_s = call.later_s + (call.growth.later_s() if job in leisurely and call.growth else 0.0)
                    found.append(Candidate(strand.number, deadline_s + later_s, call.batch_key, call.cost))
        return found

    def _leisurely(self, jobs: Sequence[Job]) -> list[Job]:
        """Those of them whose audio may be put off until there is more of it, now."""
        if not self._in_company(jobs):
            return []
        now_s, listeners = self._clock(), [job.playback.dry_s for job in jobs if not job.batch]
        crowded = _PUTTING_OFF.crowded(listeners, now_s=now_s, each_s=self._grown_s)
        return [job for job in jobs if _PUTTING_OFF.allowed(dry_s=job.playback.dry_s, now_s=now_s, crowded=crowded)]

    def _in_company(self, jobs: Iterable[Job]) -> bool:
        """Whether several of them want the device, and may change how the others' work is cut."""
        wanting = sum(any(isinstance(strand.pending, DeviceCall) for strand in job.strands) for job in jobs)
        return self._scheduling.batching and wanting > 1

    def _call(self, strands: list[Strand]) -> None:
        calls = [strand.pending for strand in strands if isinstance(strand.pending, DeviceCall)]
        started_s = self._clock()
        grown = [(strand.job, call.growth) for strand, call in zip(strands, calls, strict=True) if call.growth]
        jobs = list(self._strands.jobs.values())
        if grown and self._in_company(jobs):
            leisurely = self._leisurely(jobs)
            for job, growth in grown:
                growth.gather(whole=job in leisurely)
        try:
            results = calls[0].run([call.payload for call in calls])
        except Exception as error:
            self._book(calls[0].stage, strands, started_s)
            self._recover(strands, error)
            return
        took_s = self._book(calls[0].stage, strands, started_s)
        self._metrics.stage(calls[0].stage, took_s)
        if grown:
            self._grown_s += _RECENT * (took_s - self._grown_s)
        if calls[0].batch_key is not None:
            self._metrics.batch(len(calls))
        for strand, result in zip(strands, results, strict=True):
            self._strands.advance(strand, result)

    def _book(self, stage: str, strands: list[Strand], started_s: float) -> float:
        """Shares out what a call took among those whose call it was."""
        ended_s = self._clock()
        took_s = ended_s - started_s
        for strand in strands:
            strand.job.device_s += took_s / len(strands)
            strand.job.timeline.add(stage, started_s, ended_s)
        return took_s

    def _recover(self, strands: list[Strand], error: Exception) -> None:
        """A batch is tried again one by one; a single call once more if memory was made for it."""
        if len(strands) > 1:
            for strand in strands:
                if strand.number in self._strands.strands:  # its job may have ended through another strand
                    self._call([strand])
            return
        (strand,) = strands
        if isinstance(strand.pending, DeviceCall) and self._rescue(error):
            try:
                (result,) = strand.pending.run([strand.pending.payload])
            except Exception as again:
                error = again
            else:
                self._strands.advance(strand, result)
                return
        self._strands.throw(strand, error)

    def _overdue(self) -> list[Job]:
        now_s = self._clock()
        return [job for job in self._strands.jobs.values() if job.deadline_s is not None and job.deadline_s <= now_s]

    def _seconds_to_next_deadline(self) -> float | None:
        deadlines = [job.deadline_s for job in self._strands.jobs.values() if job.deadline_s is not None]
        return max(0.0, min(deadlines) - self._clock()) if deadlines else None
