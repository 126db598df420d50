"""The door: who may come in, who is waited for, who is sent away."""

import asyncio

import pytest

from voxswap_server.door import Door
from voxswap_server.errors import Draining


async def test_nobody_enters_a_closed_door():
    door = Door()
    assert await door.close(grace_s=0)
    with pytest.raises(Draining), door.working():
        pass
    with pytest.raises(Draining), door.observing():
        pass


async def test_closing_waits_for_those_at_work():
    door, inside, go = Door(), asyncio.Event(), asyncio.Event()

    async def work():
        with door.working():
            inside.set()
            await go.wait()

    worker = asyncio.create_task(work())
    await inside.wait()
    closing = asyncio.create_task(door.close(grace_s=60))
    await asyncio.sleep(0)
    assert not closing.done()
    go.set()
    assert await closing
    await worker


async def test_grace_ends():
    door = Door()
    with door.working():
        assert not await door.close(grace_s=0)


async def test_an_observer_is_sent_away_with_a_reason_and_is_not_waited_for():
    door, inside = Door(), asyncio.Event()

    async def observe():
        with door.observing():
            inside.set()
            await asyncio.Event().wait()

    observer = asyncio.create_task(observe())
    await inside.wait()
    assert await door.close(grace_s=60)
    with pytest.raises(Draining):
        await observer
    assert observer.cancelling() == 0


async def test_an_observer_may_leave_by_itself():
    door, inside = Door(), asyncio.Event()

    async def observe():
        with door.observing():
            inside.set()
            await asyncio.Event().wait()

    observer = asyncio.create_task(observe())
    await inside.wait()
    observer.cancel()
    with pytest.raises(asyncio.CancelledError):
        await observer
    assert await door.close(grace_s=0)


async def test_a_failure_leaves_the_door_too():
    door = Door()
    with pytest.raises(ValueError, match="odd"), door.working():
        raise ValueError("odd")
    assert await door.close(grace_s=0)
