"""Thirty-two live clients that switch and interrupt at random, over a real connection to a real server.

Tiny voices are deterministic, so every sample can be accounted for: between two announced changes of voice a stream is
made of nothing but takes of the announced voice, each equal to that voice's own rendering of the sentence, or of what
is left of it from a mark of punctuation on.
"""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import pytest_asyncio
from prometheus_client import CollectorRegistry

from tests.fixtures.live_storm import HARMLESS, Renderings, Weather, storm
from voxswap_server.app import Running, running
from voxswap_server.settings import Settings

pytestmark = pytest.mark.asyncio(loop_scope="module")
CLIENTS = 32
SENTENCES = ("Come in, sit down. ", "It rains, stay. ", "We have tea. ")
WEATHER = Weather(SENTENCES, ahead=1, patience_chunks=3, switch=0.4, stop=0.04, say=0.2)


@pytest_asyncio.fixture(loop_scope="module", scope="module")
async def server(tiny_store: Path) -> AsyncIterator[Running]:
    settings = Settings(
        store=tiny_store,
        device={"name": "cpu", "threads": 1},
        rpc={"address": "127.0.0.1:0", "drain_grace_s": 0.0},
        metrics={"enabled": False},
        scheduling={"batching": False},  # equal to the byte, whoever else speaks
        voices={"built_in": False},
    )
    async with running(settings, CollectorRegistry()) as server:
        yield server


async def test_every_sample_is_of_the_voice_that_was_announced(server: Running) -> None:
    streams = await storm(f"127.0.0.1:{server.rpc.port}", WEATHER, CLIENTS)
    renderings = Renderings(server.engine.synthesizer, SENTENCES)
    for stream in streams:
        assert stream.done is not None
        assert stream.done.samples == stream.samples
        assert set(stream.notices) <= HARMLESS
        await renderings.account_for(stream)
    changes = sum(len(stream.changes) - 1 for stream in streams)
    assert changes > CLIENTS // 2
    assert sum(bool(stream.cuts) for stream in streams) > 0
    assert all(resident.leases == 0 for resident in server.engine.residency.residents())
