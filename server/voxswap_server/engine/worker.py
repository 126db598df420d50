"""The one device thread: it alone touches the device, and advances jobs.

Knows nothing of torch, of networks or of gRPC: it runs the calls that routines ask for, in the order that the
scheduler says. A failure ends the job whose call failed, never its neighbours: when a batch fails, its calls are
tried again one by one.
"""

import itertools
import threading
import time
from collections.abc import Callable
from concurrent.futures import Future
from dataclasses import dataclass
from typing import Any, Protocol

import structlog

from voxswap_server.engine.job import Await, DeviceCall, Emit, Job, Outbox, Routine, Tell
from voxswap_server.engine.scheduler import Candidate, SchedulerConfig, deadline_of, pick
from voxswap_server.errors import Cancelled, DeadlineExceeded, Draining, EngineError, VoxswapError

log = structlog.get_logger(__name__)


class WorkerMetrics(Protocol):
    """What the device thread reports."""

    def stage(self, stage: str, seconds: float) -> None: ...
    def batch(self, rows: int) -> None: ...


@dataclass(frozen=True, slots=True)
class WorkerConfig:
    max_ahead_s: float = 10.0
    """Audio that may wait for a reader before its job pauses."""
    patience_s: float = 0.3
    """How long a new job may be silent before it outranks streams that still have audio ahead."""


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
        self._explain = explain
        self._clock = clock
        self._numbers = itertools.count()
        self._changed = threading.Condition()
        self._dirty = False
        self._stopping = False
        self._arrivals: list[Job] = []
        self._cancelled: dict[int, VoxswapError] = {}
        self._jobs: dict[int, Job] = {}  # the device thread's own
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
    ) -> Job:
        """Hands a routine over to the device thread. The job's `ended` is done when the thread has let go of it.

        Raises:
            Draining: the worker is stopping.
        """
        ended: Future[None] = Future()
        job = Job(next(self._numbers), request_id, routine, outbox, rate_hz, accepted_s, deadline_s, ended=ended)
        with self._changed:
            if self._stopping:
                raise Draining("the server is shutting down; try another one")
            self._arrivals.append(job)
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
                self._end(job, DeadlineExceeded("the deadline of the request passed while it was being spoken"))
            if not stopping and self._step():
                with self._changed:
                    self._dirty = True
        for job in list(self._jobs.values()):
            self._end(job, Draining("the server is shutting down; try another one"))

    def _hear(self) -> bool:
        """Waits for news and takes it in: arrivals, cancellations. True when the worker is stopping."""
        with self._changed:
            while not (self._dirty or self._stopping or self._overdue()):
                self._changed.wait(self._seconds_to_next_deadline())
            self._dirty = False
            stopping = self._stopping
            arrivals, self._arrivals = self._arrivals, []
            cancelled, self._cancelled = self._cancelled, {}
        for job in arrivals:
            self._jobs[job.number] = job
            if job.number not in cancelled:
                self._advance(job, None)
        for number, why in cancelled.items():
            if number in self._jobs:
                self._end(self._jobs[number], why)
        return stopping

    def _step(self) -> bool:
        """One device call; False when no job can use the device now."""
        for job in list(self._jobs.values()):
            if isinstance(job.pending, Await) and job.pending.future.done():
                self._resume(job, job.pending.future)
        chosen = [self._jobs[number] for number in pick(self._candidates(), self._scheduling)]
        if chosen:
            self._call(chosen)
        return bool(chosen)

    def _candidates(self) -> list[Candidate]:
        return [
            Candidate(
                job.number,
                deadline_of(
                    accepted_s=job.accepted_s,
                    first_audio_s=job.first_audio_s,
                    sent_audio_s=job.sent_audio_s,
                    patience_s=self._config.patience_s,
                ),
                job.pending.batch_key,
                job.pending.cost,
            )
            for job in self._jobs.values()
            if isinstance(job.pending, DeviceCall) and job.outbox.ahead_s < self._config.max_ahead_s
        ]

    def _call(self, jobs: list[Job]) -> None:
        calls = [job.pending for job in jobs if isinstance(job.pending, DeviceCall)]
        started_s = self._clock()
        try:
            results = calls[0].run([call.payload for call in calls])
        except Exception as error:
            self._recover(jobs, error)
            return
        self._metrics.stage(calls[0].stage, self._clock() - started_s)
        if calls[0].batch_key is not None:
            self._metrics.batch(len(calls))
        for job, result in zip(jobs, results, strict=True):
            self._advance(job, result)

    def _recover(self, jobs: list[Job], error: Exception) -> None:
        """A batch is tried again one by one; a single call once more if memory was made for it."""
        if len(jobs) > 1:
            for job in jobs:
                self._call([job])
            return
        (job,) = jobs
        if isinstance(job.pending, DeviceCall) and self._rescue(error):
            try:
                (result,) = job.pending.run([job.pending.payload])
            except Exception as again:
                error = again
            else:
                self._advance(job, result)
                return
        self._throw(job, error)

    def _resume(self, job: Job, future: "Future[Any]") -> None:
        error = future.exception()
        if error is None:
            self._advance(job, future.result())
        else:
            self._throw(job, error)

    def _throw(self, job: Job, error: BaseException) -> None:
        """Raises an error inside the routine, which may handle it; else it ends the job."""
        self._run(job, lambda: job.routine.throw(error))

    def _advance(self, job: Job, result: Any) -> None:
        self._run(job, lambda: job.routine.send(result))

    def _run(self, job: Job, resume: Callable[[], Any]) -> None:
        """Lets the routine run to its next wait, passing its audio on."""
        try:
            work = resume()
            while isinstance(work, Emit | Tell):
                self._pass_on(job, work)
                work = job.routine.send(None)
        except StopIteration:
            self._end(job, None)
            return
        except Exception as error:
            self._end(job, error)
            return
        job.pending = work
        if isinstance(work, Await):
            work.future.add_done_callback(lambda _future: self.wake())

    def _pass_on(self, job: Job, work: Emit | Tell) -> None:
        if isinstance(work, Tell):
            job.outbox.put(work.note)
            return
        if job.first_audio_s is None:
            job.first_audio_s = self._clock()
        job.sent_samples += work.samples.size
        job.outbox.put(work.samples)

    def _end(self, job: Job, error: BaseException | None) -> None:
        del self._jobs[job.number]
        job.routine.close()
        job.pending = None
        if error is not None and not isinstance(error, VoxswapError):
            log.error("job failed", request_id=job.request_id, exc_info=error)
            error = self._explain(error) or EngineError(
                f"the engine failed on this request; quote request id {job.request_id}"
            )
        # In this order: a reader that sees the end of the stream must not take the job for one that still runs.
        job.ended.set_result(None)
        job.outbox.close(error)

    def _overdue(self) -> list[Job]:
        now_s = self._clock()
        return [job for job in self._jobs.values() if job.deadline_s is not None and job.deadline_s <= now_s]

    def _seconds_to_next_deadline(self) -> float | None:
        deadlines = [job.deadline_s for job in self._jobs.values() if job.deadline_s is not None]
        return max(0.0, min(deadlines) - self._clock()) if deadlines else None
