"""The strands of all jobs: each runs to its next wait, and is given what it need not wait for.

Knows nothing of threads, of devices or of whose turn it is. All of it belongs to one thread.
"""

import itertools
from collections.abc import Callable, Generator
from concurrent.futures import Future
from typing import Any

import structlog

from voxswap_server.engine.job import Await, Begin, DeviceCall, Emit, Job, Routine, Strand, Tell, Work
from voxswap_server.errors import EngineError, VoxswapError

log = structlog.get_logger(__name__)


class Strands:
    """Jobs that have not ended, and their strands.

    Args:
        wake: told when something that a strand awaits is done; from any thread.
        explain: the typed error that stands for an exception of the device; None for a bug of ours.
        clock: monotonic seconds.
    """

    def __init__(
        self,
        wake: Callable[[], None],
        explain: Callable[[BaseException], VoxswapError | None],
        clock: Callable[[], float],
    ) -> None:
        self._wake = wake
        self._explain = explain
        self._clock = clock
        self._numbers = itertools.count()
        self.jobs: dict[int, Job] = {}
        self.strands: dict[int, Strand] = {}

    def admit(self, job: Job, routine: Routine) -> Strand:
        """Takes a job in; its strand has not begun."""
        self.jobs[job.number] = job
        return self._attach(job, routine)

    def resume(self) -> None:
        """Lets every strand go on whose wait is over."""
        for strand in list(self.strands.values()):
            if isinstance(strand.pending, Await) and strand.pending.future.done():
                if strand.pending.stage:
                    strand.job.timeline.add(strand.pending.stage, strand.since_s, self._clock())
                self._resume(strand, strand.pending.future)

    def _resume(self, strand: Strand, future: "Future[Any]") -> None:
        error = future.exception()
        if error is None:
            self.advance(strand, future.result())
        else:
            self.throw(strand, error)

    def throw(self, strand: Strand, error: BaseException) -> None:
        """Raises an error inside a routine, which may handle it; else it ends the strand."""
        self._run(strand, lambda: strand.routine.throw(error))

    def advance(self, strand: Strand, result: Any) -> None:
        """Gives a strand what it waits for; one whose job has ended is left alone."""
        if strand.number not in self.strands:
            return
        self._run(strand, lambda: strand.routine.send(result))

    def _run(self, strand: Strand, resume: Callable[[], Work]) -> None:
        """Lets the routine run to its next wait, and gives it what it need not wait for."""
        try:
            work = resume()
            while not isinstance(work, DeviceCall | Await):
                work = strand.routine.send(self._served(strand.job, work))
        except StopIteration as end:
            self._finish(strand, end.value)
            return
        except Exception as error:
            self._fail(strand, error)
            return
        strand.pending = work
        if isinstance(work, Await):
            strand.since_s = self._clock()
            work.future.add_done_callback(lambda _future: self._wake())

    def _served(self, job: Job, work: Emit | Tell | Begin) -> "Future[Any] | None":
        if isinstance(work, Begin):
            strand = self._attach(job, work.routine)
            self.advance(strand, None)
            return strand.result
        if isinstance(work, Tell):
            job.outbox.put(work.note)
            return None
        job.playback.sent(work.samples.size / job.rate_hz, self._clock())
        job.outbox.put(work.samples)
        return None

    def _attach(self, job: Job, routine: "Generator[Work, Any, Any]") -> Strand:
        strand = Strand(next(self._numbers), job, routine, Future())
        self.strands[strand.number] = strand
        job.strands.append(strand)
        return strand

    def _finish(self, strand: Strand, value: Any) -> None:
        if strand is strand.job.strands[0]:
            self.end(strand.job, None)
        else:
            self._detach(strand)
            strand.result.set_result(value)

    def _fail(self, strand: Strand, error: Exception) -> None:
        if strand is strand.job.strands[0]:
            self.end(strand.job, error)
        else:
            self._detach(strand)
            strand.result.set_exception(error)

    def _detach(self, strand: Strand) -> None:
        del self.strands[strand.number]
        strand.job.strands.remove(strand)
        strand.pending = None

    def end(self, job: Job, error: BaseException | None) -> None:
        """Closes a job with everything in it."""
        del self.jobs[job.number]
        for strand in list(job.strands):
            strand.routine.close()
            self._detach(strand)
        if error is not None and not isinstance(error, VoxswapError):
            log.error("job failed", request_id=job.request_id, exc_info=error)
            error = self._explain(error) or EngineError(
                f"the engine failed on this request; quote request id {job.request_id}"
            )
        # In this order: a reader that sees the end of the stream must not take the job for one that still runs.
        job.ended.set_result(None)
        job.outbox.close(error)
