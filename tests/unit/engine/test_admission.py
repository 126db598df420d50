"""The queue before the device: bounds, order, deadlines, giving up."""

import asyncio
import time
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial

import pytest

from voxswap_server.engine.admission import Admission, AdmissionConfig
from voxswap_server.engine.estimates import Demand
from voxswap_server.errors import DeadlineExceeded, Overloaded


class Levels:
    def __init__(self) -> None:
        self.now = {"running": 0, "waiting": 0}
        self.peak = {"running": 0, "waiting": 0}

    def running(self, count: int) -> None:
        self._set("running", count)

    def waiting(self, count: int) -> None:
        self._set("waiting", count)

    def _set(self, name: str, count: int) -> None:
        self.now[name] = count
        self.peak[name] = max(self.peak[name], count)


def build(**limits: int) -> tuple[Admission, Levels]:
    levels = Levels()
    return Admission(AdmissionConfig(**limits), levels, time.monotonic), levels


async def hold(admission: Admission, leave: asyncio.Event, entered: list[int], number: int) -> None:
    async with admission.turn(None):
        entered.append(number)
        await leave.wait()


async def start(admission: Admission, count: int) -> tuple[list[asyncio.Task[None]], asyncio.Event, list[int]]:
    leave, entered = asyncio.Event(), []
    tasks = [asyncio.create_task(hold(admission, leave, entered, number)) for number in range(count)]
    await asyncio.sleep(0)
    return tasks, leave, entered


async def test_first_come_first_served_within_the_bound() -> None:
    admission, levels = build(max_running=2, max_waiting=8)
    tasks, leave, entered = await start(admission, 5)
    assert entered == [0, 1]
    leave.set()
    await asyncio.gather(*tasks)
    assert entered == [0, 1, 2, 3, 4]
    assert levels.peak == {"running": 2, "waiting": 3}
    assert levels.now == {"running": 0, "waiting": 0}


async def test_one_more_than_the_queue_holds_is_told_when_to_come_back() -> None:
    admission, _ = build(max_running=1, max_waiting=1)
    tasks, leave, _ = await start(admission, 2)
    with pytest.raises(Overloaded, match="1 requests are being spoken and 1 wait") as caught:
        async with admission.turn(None):
            pass
    assert caught.value.retry_after_s > 0
    leave.set()
    await asyncio.gather(*tasks)


async def test_a_deadline_ends_the_wait_and_frees_the_place() -> None:
    admission, levels = build(max_running=1, max_waiting=1)
    tasks, leave, _ = await start(admission, 1)
    with pytest.raises(DeadlineExceeded):
        async with admission.turn(time.monotonic() + 0.01):
            pass
    assert levels.now["waiting"] == 0
    leave.set()
    await asyncio.gather(*tasks)


async def test_a_waiter_that_gives_up_never_takes_a_seat() -> None:
    admission, levels = build(max_running=1, max_waiting=4)
    tasks, leave, entered = await start(admission, 3)
    tasks[1].cancel()
    leave.set()
    await asyncio.gather(*tasks, return_exceptions=True)
    assert entered == [0, 2]
    assert levels.now == {"running": 0, "waiting": 0}


async def test_a_seat_given_to_one_who_leaves_at_that_moment_goes_to_the_next() -> None:
    admission, levels = build(max_running=1, max_waiting=4)
    tasks, _, entered = await start(admission, 3)
    tasks[0].cancel()  # leaves: its seat is handed to 1 ...
    await asyncio.sleep(0)
    tasks[1].cancel()  # ... which goes in the same moment
    await asyncio.gather(tasks[0], tasks[1], return_exceptions=True)
    await asyncio.sleep(0)
    assert entered[-1] == 2
    assert levels.now["running"] == 1
    tasks[2].cancel()
    await asyncio.gather(tasks[2], return_exceptions=True)
    assert levels.now["running"] == 0


class Clock:
    """Stands still until it is set."""

    def __init__(self) -> None:
        self.now_s = 100.0

    def __call__(self) -> float:
        return self.now_s


def foreseeing(clock: Clock, **limits: float) -> Admission:
    return Admission(AdmissionConfig(**limits), Levels(), clock)  # type: ignore[arg-type]


async def test_a_deadline_that_is_far_from_enough_is_told_at_once() -> None:
    clock = Clock()
    admission = foreseeing(clock, deadline_margin=2.0)
    with pytest.raises(DeadlineExceeded, match=r"about 10\.0 s, and its deadline is in 4\.0 s"):
        async with admission.turn(clock() + 4.0, Demand(10.0, 20.0)):
            pass
    async with admission.turn(clock() + 6.0, Demand(10.0, 20.0)) as waited_s:
        assert waited_s == 0
    async with admission.turn(None, Demand(1e6, 1e6)):
        pass


async def test_without_an_estimate_nothing_is_foreseen() -> None:
    clock = Clock()
    admission = foreseeing(clock, max_backlog_s=1.0)
    async with admission.turn(None, Demand(50.0, 10.0)), admission.turn(clock() + 0.001):
        pass


async def test_others_count_as_much_as_they_can_delay() -> None:
    clock = Clock()
    admission = foreseeing(clock, deadline_margin=1.0)
    async with admission.turn(None, Demand(100.0, 200.0)), admission.turn(None, Demand(1.0, 2.0)):
        with pytest.raises(DeadlineExceeded, match=r"about 5\.0 s"):  # 2 of its own, 2 of the long one, 1 of the short
            async with admission.turn(clock() + 4.9, Demand(2.0, 4.0)):
                pass
        async with admission.turn(clock() + 5.1, Demand(2.0, 4.0)):
            pass


async def test_behind_too_much_work_one_is_told_when_to_come_back() -> None:
    admission = foreseeing(Clock(), max_backlog_s=30.0)
    long = Demand(40.0, 80.0)
    async with admission.turn(None, long):
        with pytest.raises(Overloaded, match=r"about 40 s of work .* the limit is 30 s") as caught:
            async with admission.turn(None, Demand(0.1, 0.2)):
                pass
        assert caught.value.retry_after_s == pytest.approx(10.0)
        long.spoken_s = 40.0  # half of it was made
        async with admission.turn(None, Demand(0.1, 0.2)):
            pass
    async with admission.turn(None, Demand(1.0, 2.0)):
        pass


async def test_whoever_waits_counts_too_and_whoever_was_refused_does_not() -> None:
    clock = Clock()
    admission = foreseeing(clock, max_running=1, max_backlog_s=25.0)
    async with admission.turn(None, Demand(10.0, 10.0)):
        second = asyncio.create_task(admission.turn(None, Demand(20.0, 20.0)).__aenter__())
        await asyncio.sleep(0)
        for _ in range(3):
            with pytest.raises(Overloaded, match="about 30 s"):
                async with admission.turn(None, Demand(5.0, 5.0)):
                    pass
        second.cancel()
        await asyncio.gather(second, return_exceptions=True)
        third = asyncio.create_task(admission.turn(None, Demand(5.0, 5.0)).__aenter__())
        await asyncio.sleep(0)
        assert not third.done()
        third.cancel()
        await asyncio.gather(third, return_exceptions=True)


async def test_only_who_waits_is_in_the_block_meanwhile() -> None:
    admission, _ = build(max_running=1, max_waiting=1)
    inside: list[str] = []

    @contextmanager
    def meanwhile(name: str) -> Iterator[None]:
        inside.append(name)
        yield
        inside.remove(name)

    async def hold_meanwhile(name: str) -> None:
        async with admission.turn(None, meanwhile=partial(meanwhile, name)):
            entered.append(name)
            await leave.wait()

    leave, entered = asyncio.Event(), []
    first = asyncio.create_task(hold_meanwhile("first"))
    await asyncio.sleep(0)
    assert (entered, inside) == (["first"], [])
    second = asyncio.create_task(hold_meanwhile("second"))
    await asyncio.sleep(0)
    assert (entered, inside) == (["first"], ["second"])
    with pytest.raises(Overloaded):
        await hold_meanwhile("third")
    assert inside == ["second"]
    leave.set()
    await asyncio.gather(first, second)
    assert (entered, inside) == (["first", "second"], [])


async def test_who_gives_up_in_the_queue_leaves_the_block() -> None:
    admission, _ = build(max_running=1, max_waiting=1)
    tasks, leave, _ = await start(admission, 1)
    left = asyncio.Event()

    @contextmanager
    def meanwhile() -> Iterator[None]:
        try:
            yield
        finally:
            left.set()

    with pytest.raises(DeadlineExceeded):
        async with admission.turn(time.monotonic(), meanwhile=meanwhile):
            pytest.fail("there was no turn")
    assert left.is_set()
    leave.set()
    await asyncio.gather(*tasks)
