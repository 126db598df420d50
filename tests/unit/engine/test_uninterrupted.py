"""What must come to its end does, whoever loses patience."""

import asyncio

import pytest

from voxswap_server.engine.uninterrupted import uninterrupted


async def test_a_result_and_an_error_come_through() -> None:
    async def answer(error: Exception | None = None) -> int:
        if error is not None:
            raise error
        return 7

    assert await uninterrupted(answer()) == 7
    with pytest.raises(ValueError, match="no"):
        await uninterrupted(answer(ValueError("no")))


@pytest.mark.parametrize("fails", [False, True])
async def test_a_cancellation_comes_after_the_end(fails: bool) -> None:
    begun, go, ended = asyncio.Event(), asyncio.Event(), []

    async def work() -> None:
        begun.set()
        await go.wait()
        ended.append(1)
        if fails:
            raise ValueError

    task = asyncio.create_task(uninterrupted(work()))
    await begun.wait()
    for _ in range(3):
        task.cancel()
        await asyncio.sleep(0)
    assert not ended
    assert not task.done()
    go.set()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert ended == [1]
