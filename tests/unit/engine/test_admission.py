"""The queue before the device: bounds, order, deadlines, giving up."""

import asyncio
import time

import pytest

from voxswap_server.engine.admission import Admission, AdmissionConfig
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
