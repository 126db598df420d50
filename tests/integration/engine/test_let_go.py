"""A voice that went back is gone: nothing that was made with it keeps its networks, not even until garbage is collected.

A network that somebody keeps cannot make room for the next one, and residency counts its memory as free.
"""

import asyncio
import gc
import weakref
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest
import pytest_asyncio

from tests.fixtures.engines import asking, engine_over, hear
from tests.fixtures.live import LiveEars, hear_live, live_config
from voxswap_server.app import Engine
from voxswap_server.domain_live import Flush, LiveText, SwitchPoint, SwitchVoice, VoiceChanged

ONE = "Good morning to all of you. "


@pytest_asyncio.fixture
async def engine(tiny_store: Path) -> AsyncIterator[Engine]:
    async with engine_over(tiny_store) as (engine, _):
        yield engine


@pytest.fixture
def no_collector() -> Iterator[None]:
    gc.collect()
    gc.disable()
    yield
    gc.enable()


async def networks(engine: Engine, voice_id: str) -> "list[weakref.ref[object]]":
    async with engine.residency.lease(voice_id) as lease:
        return [weakref.ref(lease.bundle.t2s), weakref.ref(lease.bundle.decoder)]


async def require_gone(engine: Engine, voice_id: str, kept: "list[weakref.ref[object]]") -> None:
    assert all(one() is not None for one in kept)
    await engine.residency.unload_voice(voice_id, wait=True)
    assert all(one() is None for one in kept)


@pytest.mark.usefixtures("no_collector")
async def test_after_a_request(engine: Engine) -> None:
    kept = await networks(engine, "amber")
    await hear(engine.synthesizer, asking("amber", ONE))
    await require_gone(engine, "amber", kept)


@pytest.mark.usefixtures("no_collector")
async def test_after_a_live_stream(engine: Engine) -> None:
    kept = await networks(engine, "amber")
    heard = await hear_live(engine.live, live_config("amber"), LiveText(ONE))
    assert heard.samples
    await require_gone(engine, "amber", kept)


@pytest.mark.usefixtures("no_collector")
@pytest.mark.parametrize("point", SwitchPoint)
async def test_after_a_switch_while_the_stream_goes_on(engine: Engine, point: SwitchPoint) -> None:
    kept, ears = await networks(engine, "amber"), LiveEars()
    listening = asyncio.create_task(ears.listen(engine.live, live_config("amber")))
    ears.say(LiveText(ONE), Flush())
    await ears.heard(lambda ears: ears.samples > 0)
    ears.follow()
    ears.say(SwitchVoice("slate", point), LiveText(ONE), Flush())
    await ears.heard(lambda ears: bool(ears.of(VoiceChanged)))
    await require_gone(engine, "amber", kept)
    assert not listening.done()
    ears.end()
    await listening
