"""A request that waits for its turn: its voice is loaded meanwhile, and nobody pays for it who did not ask."""

import asyncio
from contextlib import aclosing

from tests.fixtures.engines import asking, engine_over, hear
from voxswap_server.domain import CacheState, StreamStarted


async def test_the_voice_comes_while_its_request_waits_for_its_turn(tiny_store):
    """The first request keeps the only seat: its stream is begun and not read on."""
    async with engine_over(tiny_store, admission={"max_running": 1}) as (engine, _):
        speaking = engine.synthesizer.synthesize(asking("amber", "Hello there."))
        async with aclosing(engine.residency.watch_residents()) as events, aclosing(speaking):
            assert isinstance(await anext(speaking), StreamStarted)
            waiting = asyncio.create_task(hear(engine.synthesizer, asking("slate", "Hello there.")))
            async for event in events:
                if (event.kind, event.voice_id) == ("loaded", "slate"):
                    break
            assert not waiting.done()
            assert [one.leases for one in engine.residency.residents() if one.voice_id == "slate"] == [0]
        heard = await waiting
        assert heard.started.cache_state is CacheState.DISK
        assert (await engine.residency.cache_stats()).loads == 2


async def test_a_request_that_is_cancelled_in_the_queue_awaits_nothing_any_more(tiny_store):
    async with engine_over(tiny_store, admission={"max_running": 1}, residency={"loads_ahead": 0}) as (engine, _):
        speaking = engine.synthesizer.synthesize(asking("amber", "Hello there."))
        async with aclosing(speaking):
            assert isinstance(await anext(speaking), StreamStarted)
            waiting = asyncio.create_task(hear(engine.synthesizer, asking("slate", "Hello there.")))
            await asyncio.sleep(0)
            waiting.cancel()
            await asyncio.gather(waiting, return_exceptions=True)
        assert waiting.cancelled()
        assert [one.voice_id for one in engine.residency.residents()] == ["amber"]
