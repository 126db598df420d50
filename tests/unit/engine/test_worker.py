"""The device thread, driven by routines that compute nothing: order, isolation, cancelling, deadlines, stalling."""

import asyncio
import itertools
import threading
from collections.abc import AsyncIterator, Callable, Generator
from concurrent.futures import Future
from typing import Any

import numpy as np
import pytest

from voxswap_server.engine.job import Await, Begin, DeviceCall, Emit, Job, Outbox, Routine
from voxswap_server.engine.scheduler import SchedulerConfig
from voxswap_server.engine.worker import Worker, WorkerConfig
from voxswap_server.errors import Cancelled, DeadlineExceeded, Draining, EngineError, OutOfMemory

RATE_HZ = 100


class Recorder:
    def __init__(self) -> None:
        self.stages: list[str] = []
        self.batches: list[int] = []

    def stage(self, stage: str, seconds: float) -> None:
        assert seconds >= 0
        self.stages.append(stage)

    def batch(self, rows: int) -> None:
        self.batches.append(rows)


class Bench:
    """A started worker and what its jobs need."""

    def __init__(self, worker: Worker, metrics: Recorder) -> None:
        self.worker, self.metrics = worker, metrics

    def submit(self, routine: Routine, **changes: Any) -> tuple[Job, Outbox]:
        outbox = Outbox(RATE_HZ, asyncio.get_running_loop(), self.worker.wake)
        settings: dict[str, Any] = {"rate_hz": RATE_HZ, "accepted_s": 0.0, "deadline_s": None} | changes
        return self.worker.submit("r-1", routine, outbox, **settings), outbox


@pytest.fixture
async def make() -> AsyncIterator[Callable[..., Bench]]:
    workers: list[Worker] = []

    def build(**config: Any) -> Bench:
        metrics = Recorder()
        hooks = {name: config.pop(name) for name in ("rescue", "explain", "clock") if name in config}
        scheduling = SchedulerConfig(batching=config.pop("batching", True))
        worker = Worker(scheduling, WorkerConfig(**config), metrics, **hooks)
        workers.append(worker)
        worker.start()
        return Bench(worker, metrics)

    yield build
    for worker in workers:
        worker.stop()


async def heard(outbox: Outbox) -> list[float]:
    return [float(value) for piece in [piece async for piece in outbox.items()] for value in piece]


class Growing:
    """Notes in its payload that it was gathered."""

    def __init__(self, by_s: float, payload: list[str]) -> None:
        self._by_s, self._payload = by_s, payload

    def later_s(self) -> float:
        return self._by_s

    def gather(self, *, whole: bool) -> None:
        self._payload.append("gathered whole" if whole else "gathered")


def tone(value: float, count: int = 1) -> Emit:
    return Emit(np.full(count, value, np.float32))


def call(
    value: Any, key: str | None = None, run: Callable[[list[Any]], list[Any]] = lambda values: values
) -> DeviceCall:
    return DeviceCall("t2s", run, value, key)


def counting(upto: int, key: str | None = None) -> Generator[Any, Any, None]:
    for number in range(upto):
        result = yield call(number, key)
        yield tone(result)


async def test_a_routine_gets_results_and_its_audio_arrives_in_order(make: Callable[..., Bench]) -> None:
    bench = make()
    job, outbox = bench.submit(counting(5))
    assert await heard(outbox) == [0, 1, 2, 3, 4]
    await asyncio.wrap_future(job.ended)
    assert bench.metrics.stages == ["t2s"] * 5
    assert bench.metrics.batches == []


async def test_calls_of_one_key_run_together_and_results_stay_with_their_rows(make: Callable[..., Bench]) -> None:
    bench = make()
    gate: Future[None] = Future()

    def routine(base: int) -> Routine:
        yield Await(gate)
        for number in range(3):
            result = yield call(base + number, "weights")
            yield tone(result)

    jobs = [bench.submit(routine(base)) for base in (10, 20, 30)]
    gate.set_result(None)
    assert [await heard(outbox) for _, outbox in jobs] == [[10, 11, 12], [20, 21, 22], [30, 31, 32]]
    assert max(bench.metrics.batches) == 3


async def test_without_batching_each_call_is_alone(make: Callable[..., Bench]) -> None:
    bench = make(batching=False)
    jobs = [bench.submit(counting(3, "weights")) for _ in range(3)]
    assert [await heard(outbox) for _, outbox in jobs] == [[0, 1, 2]] * 3
    assert set(bench.metrics.batches) == {1}


async def test_a_failing_row_takes_only_itself_down(make: Callable[..., Bench]) -> None:
    bench = make()
    gate: Future[None] = Future()

    def fussy(values: list[Any]) -> list[Any]:
        if 13 in values:
            raise ValueError("thirteen")
        return values

    def routine(value: int) -> Routine:
        yield Await(gate)
        result = yield call(value, "weights", fussy)
        yield tone(result)

    good, bad, other = (bench.submit(routine(value)) for value in (1, 13, 2))
    gate.set_result(None)
    assert await heard(good[1]) == [1]
    assert await heard(other[1]) == [2]
    with pytest.raises(EngineError, match="request id r-1"):
        await heard(bad[1])


async def test_a_typed_error_reaches_the_reader_after_the_audio_before_it(make: Callable[..., Bench]) -> None:
    def routine() -> Routine:
        yield tone(1.0)
        yield call(None, run=fail)

    def fail(_payloads: list[Any]) -> list[Any]:
        raise OutOfMemory("no room", retry_after_s=2.0)

    _, outbox = make().submit(routine())
    pieces = outbox.items()
    assert (await anext(pieces)).tolist() == [1.0]
    with pytest.raises(OutOfMemory, match="no room"):
        await anext(pieces)


async def test_one_retry_after_memory_was_made(make: Callable[..., Bench]) -> None:
    attempts: list[int] = []

    def tight(payloads: list[Any]) -> list[Any]:
        attempts.append(1)
        if len(attempts) == 1:
            raise MemoryError
        return payloads

    def routine() -> Routine:
        result = yield call(7.0, run=tight)
        yield tone(result)

    rescued: list[Exception] = []
    _, outbox = make(rescue=lambda error: not rescued.append(error)).submit(routine())
    assert await heard(outbox) == [7.0]
    assert len(attempts) == 2
    assert isinstance(rescued[0], MemoryError)


async def test_a_device_that_stays_full_has_a_typed_error(make: Callable[..., Bench]) -> None:
    def full(_payloads: list[Any]) -> list[Any]:
        raise MemoryError

    def routine() -> Routine:
        yield call(1, run=full)

    def explain(error: BaseException) -> OutOfMemory | None:
        return OutOfMemory("full") if isinstance(error, MemoryError) else None

    tried: list[Exception] = []
    _, outbox = make(rescue=lambda error: not tried.append(error), explain=explain).submit(routine())
    with pytest.raises(OutOfMemory, match="full"):
        await heard(outbox)
    assert len(tried) == 1


async def test_cancelling_closes_the_routine_at_its_next_step_and_spares_the_others(make: Callable[..., Bench]) -> None:
    bench = make(max_ahead_s=1e9)
    closed = threading.Event()

    def endless() -> Routine:
        try:
            while True:
                yield call(1)
                yield tone(0.0)
        finally:
            closed.set()

    job, outbox = bench.submit(endless())
    _, other = bench.submit(counting(3))
    await anext(outbox.items())
    bench.worker.cancel(job)
    await asyncio.wrap_future(job.ended)
    assert closed.is_set()
    with pytest.raises(Cancelled):
        await heard(outbox)
    assert await heard(other) == [0, 1, 2]
    bench.worker.cancel(job)  # a second time, after its end: nothing happens


async def test_a_deadline_ends_a_job_even_while_it_waits(make: Callable[..., Bench]) -> None:
    bench = make()

    def waiting() -> Routine:
        yield Await(Future())

    _, outbox = bench.submit(waiting(), deadline_s=bench.worker._clock() + 0.02)
    with pytest.raises(DeadlineExceeded):
        await heard(outbox)


async def test_a_reader_that_stalls_holds_up_only_its_own_job(make: Callable[..., Bench]) -> None:
    bench = make(max_ahead_s=2.0)
    produced, full = 0, threading.Event()

    def long() -> Routine:
        nonlocal produced
        for _ in range(10):
            yield call(0)
            yield tone(0.0, RATE_HZ)
            produced += 1
            if produced == 2:
                full.set()

    _, stalled = bench.submit(long())
    _, other = bench.submit(counting(50))
    assert len(await heard(other)) == 50
    assert await asyncio.to_thread(full.wait, 30), "it may come after the other, which never has audio ahead"
    _, later = bench.submit(counting(50))
    assert len(await heard(later)) == 50
    assert (produced, stalled.ahead_s) == (2, 2.0)
    assert len(await heard(stalled)) == 10 * RATE_HZ


async def test_a_failed_wait_is_raised_inside_the_routine(make: Callable[..., Bench]) -> None:
    failed: Future[None] = Future()
    failed.set_exception(KeyError("lost"))

    def routine() -> Routine:
        try:
            yield Await(failed)
        except KeyError:
            yield tone(4.0)

    _, outbox = make().submit(routine())
    assert await heard(outbox) == [4.0]


async def test_stopping_ends_every_job_and_refuses_new_ones(make: Callable[..., Bench]) -> None:
    bench = make()

    def waiting() -> Routine:
        yield Await(Future())

    job, outbox = bench.submit(waiting())
    await asyncio.to_thread(bench.worker.stop)
    assert job.ended.done()
    with pytest.raises(Draining):
        await heard(outbox)
    with pytest.raises(Draining):
        bench.submit(counting(1))


async def test_a_bug_in_a_routine_is_our_error_and_the_thread_lives_on(make: Callable[..., Bench]) -> None:
    bench = make()

    def buggy() -> Routine:
        yield call(1)
        raise ZeroDivisionError

    _, outbox = bench.submit(buggy())
    with pytest.raises(EngineError):
        await heard(outbox)
    _, after = bench.submit(counting(2))
    assert await heard(after) == [0, 1]


async def test_a_strand_runs_beside_its_job_and_its_result_can_be_awaited(make: Callable[..., Bench]) -> None:
    def helper() -> Generator[Any, Any, str]:
        first = yield call("a", "weights")
        second = yield call("b", "weights")
        return first + second

    def routine() -> Routine:
        pending = yield Begin(helper())
        own = yield call(1.0)
        yield tone(own)
        text = yield Await(pending)
        yield tone(float(len(text)))

    assert await heard(make().submit(routine())[1]) == [1.0, 2.0]


async def test_strands_of_one_job_share_a_batch(make: Callable[..., Bench]) -> None:
    def helper(value: int) -> Generator[Any, Any, int]:
        result: int = yield call(value, "weights")
        return result

    def routine() -> Routine:
        first = yield Begin(helper(0))
        second = yield Begin(helper(1))
        yield tone((yield Await(first)))
        yield tone((yield Await(second)))

    bench = make()
    assert await heard(bench.submit(routine())[1]) == [0, 1]
    assert bench.metrics.batches == [2]


async def test_a_strand_that_fails_ends_its_job_only_if_it_is_awaited(make: Callable[..., Bench]) -> None:
    def broken() -> Generator[Any, Any, None]:
        yield call(None)
        raise OutOfMemory("no room")

    def careless() -> Routine:
        yield Begin(broken())
        for number in range(3):
            yield tone((yield call(number)))

    def careful() -> Routine:
        yield Await((yield Begin(broken())))

    bench = make()
    assert await heard(bench.submit(careless())[1]) == [0, 1, 2]
    with pytest.raises(OutOfMemory):
        await heard(bench.submit(careful())[1])


async def test_strands_are_closed_with_their_job(make: Callable[..., Bench]) -> None:
    closed: list[str] = []

    def endless(name: str) -> Generator[Any, Any, None]:
        try:
            while True:
                yield call(0, "weights")
        finally:
            closed.append(name)

    def ending() -> Routine:
        yield Begin(endless("of one that ends"))
        yield call(1)

    def cancelled() -> Routine:
        yield Begin(endless("of one that is cancelled"))
        yield tone(1.0)
        yield Await(Future())

    bench = make(max_ahead_s=1e9)
    first, outbox = bench.submit(ending())
    assert await heard(outbox) == []
    second, outbox = bench.submit(cancelled())
    assert (await anext(outbox.items())).tolist() == [1.0]
    bench.worker.cancel(second)
    await asyncio.gather(asyncio.wrap_future(first.ended), asyncio.wrap_future(second.ended))
    assert closed == ["of one that ends", "of one that is cancelled"]
    assert bench.worker._strands.strands == {}


async def test_work_that_is_wanted_later_waits_for_work_that_is_wanted_now(make: Callable[..., Bench]) -> None:
    order: list[str] = []
    begun: Future[None] = Future()

    def note(names: list[Any]) -> list[Any]:
        order.extend(names)
        return names

    def ahead() -> Generator[Any, Any, None]:
        yield Await(begun)
        for _ in range(2):
            yield DeviceCall("t2s", note, "ahead", later_s=5.0)

    def routine() -> Routine:
        pending = yield Begin(ahead())
        begun.set_result(None)
        for _ in range(3):
            yield DeviceCall("decode", note, "now")
        yield Await(pending)

    assert await heard(make().submit(routine())[1]) == []
    assert order == ["now"] * 3 + ["ahead"] * 2


@pytest.mark.parametrize(
    ("sent_s", "company", "grows", "batching", "wanted"),
    [
        (2.0, True, True, True, ["other", "other", "growing"]),  # by then it is alone
        (2.0, True, False, True, ["growing, gathered whole", "other", "other"]),
        (2.0, False, True, True, ["growing"]),
        (0.5, True, True, True, ["growing, gathered", "other", "other"]),
        (0.0, True, True, True, ["growing, gathered", "other", "other"]),
        (2.0, True, True, False, ["growing", "other", "other"]),
    ],
)
async def test_growing_work_is_put_off_in_company_while_nobody_runs_dry(
    make: Callable[..., Bench], sent_s: float, company: bool, grows: bool, batching: bool, wanted: list[str]
) -> None:
    order: list[str] = []
    begun: Future[None] = Future()

    def note(names: list[Any]) -> list[Any]:
        order.extend(names)
        return names

    def growing() -> Routine:
        if sent_s:
            yield tone(1.0, int(sent_s * RATE_HZ))
        yield Await(begun)
        payload = ["growing"]
        growth = Growing(9.0 if grows else 0.0, payload)
        yield DeviceCall("decode", lambda rows: note([", ".join(rows[0])]), payload, growth=growth)

    def other() -> Routine:
        yield Emit(np.zeros(int(sent_s * RATE_HZ) + RATE_HZ, np.float32))
        begun.set_result(None)  # the other one is there already, and goes on when this one has work too
        for _ in range(2):
            yield DeviceCall("t2s", note, "other")

    bench = make(clock=lambda: 7.0, batching=batching)
    outboxes = [bench.submit(routine())[1] for routine in ((growing, other) if company else (growing,))]
    if not company:
        begun.set_result(None)
    for outbox in outboxes:
        await heard(outbox)
    assert order == wanted


async def test_growing_work_is_put_off_where_listeners_run_dry_whatever_is_done(make: Callable[..., Bench]) -> None:
    now_s, order, begun = [7.0], list[str](), Future[None]()

    def growing(name: str, took_s: float, by_s: float = 0.0) -> DeviceCall:
        payload = [name]

        def run(rows: list[Any]) -> list[Any]:
            order.append(", ".join(rows[0]))
            now_s[0] += took_s
            return rows

        return DeviceCall("decode", run, payload, growth=Growing(by_s, payload))

    def early() -> Routine:
        yield tone(1.0, RATE_HZ // 2)
        yield Await(begun)
        yield growing("slow", took_s=4.0)  # so every listener takes a second, of late
        yield tone(1.0, 4 * RATE_HZ)  # half a second ahead again
        yield growing("put off", took_s=0.0, by_s=9.0)

    def other() -> Routine:
        yield tone(1.0, 5 * RATE_HZ)
        begun.set_result(None)
        yield call("other", run=lambda rows: order.extend(rows) or rows)

    bench = make(clock=lambda: now_s[0])
    for outbox in [bench.submit(routine())[1] for routine in (early, other)]:
        await heard(outbox)
    assert order == ["slow, gathered", "other", "put off"]


async def test_a_job_is_booked_its_share_of_the_device(make: Callable[..., Bench]) -> None:
    ticks = itertools.count()
    bench = make(clock=lambda: float(next(ticks)))
    gate: Future[None] = Future()

    def routine(here: Future[None]) -> Routine:
        here.set_result(None)
        yield Await(gate)
        yield call(1, "weights")

    here: list[Future[None]] = [Future(), Future()]
    jobs = [bench.submit(routine(one)) for one in here]
    await asyncio.gather(*map(asyncio.wrap_future, here))
    gate.set_result(None)
    for _, outbox in jobs:
        await heard(outbox)
    assert bench.metrics.batches == [2]
    assert jobs[0][0].device_s == jobs[1][0].device_s > 0


async def test_a_job_nobody_listens_to_gives_way_to_a_stream(make: Callable[..., Bench]) -> None:
    bench = make(max_ahead_s=1e9)
    order: list[str] = []
    gate: Future[None] = Future()

    def note(names: list[Any]) -> list[Any]:
        order.extend(names)
        return names

    def routine(name: str, here: Future[None]) -> Routine:
        here.set_result(None)
        yield Await(gate)
        for _ in range(3):
            yield DeviceCall("decode", note, name)
            yield tone(0.0, RATE_HZ)

    here: list[Future[None]] = [Future(), Future()]
    now_s = bench.worker._clock()
    _, batch = bench.submit(routine("batch", here[0]), batch=True, accepted_s=now_s)
    _, live = bench.submit(routine("live", here[1]), accepted_s=now_s)
    await asyncio.gather(*map(asyncio.wrap_future, here))
    gate.set_result(None)
    await heard(live)
    await heard(batch)
    assert order == ["live"] * 3 + ["batch"] * 3
