"""Thirty-two live clients that switch at random among the built-in voices, and who is heard, by the built-in ECAPA.

That a voice's samples are its own rendering is shown on tiny voices, to the sample (`test_live_storm`). Here it is
shown that this rendering is the right speaker: from each announced sample on, past the cross-fade, every stretch of
speech is nearer to the reference audio of the announced voice than to that of any other.

How short a stretch can be judged was measured on 44 sentences of the four voices, at every quarter of a second, silence
taken out: of stretches of 1 s 3 in 369 were nearest to another voice, of 1.25 s none in 325 (the announced voice ahead
by a cosine of at least 0.08), of 1.5 s none in 281 (by at least 0.19), of 2 s none in 200 (by at least 0.34). So pieces
of 1.5 s are judged; what is left of a stretch, and shorter ones, are not.
"""

import io
from collections.abc import AsyncIterator, Iterator

import numpy as np
import pytest
import pytest_asyncio
import soundfile
from numpy.typing import NDArray
from prometheus_client import CollectorRegistry

from tests.fixtures.live_storm import HARMLESS, RATE_HZ, VOICES, Caller, Weather, storm
from voxswap_client import AsyncClient
from voxswap_server.app import Running, running
from voxswap_server.settings import Settings
from voxswap_store.built_in import packaged_voices

pytestmark = pytest.mark.asyncio(loop_scope="module")
CLIENTS = 32
# Every phrase is one that these young voices end: of phrases of two words some run on, and are `DATA_LOSS`.
WEATHER = Weather(
    ("The street is quiet, and it is late. ", "Sit down by the fire, and warm your hands. "),
    ahead=2,
    patience_chunks=25,
    switch=0.08,
    stop=0.01,
    say=0.0,
)
JUDGED_SAMPLES = RATE_HZ * 3 // 2
FRAME_SAMPLES = RATE_HZ // 100
QUIET_DB = 35.0
"""So far below the loud parts a frame counts as silence."""


@pytest_asyncio.fixture(loop_scope="module", scope="module")
async def server(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Running]:
    if packaged_voices() is None:
        pytest.skip("this source tree has no built-in voices")
    settings = Settings(
        store=tmp_path_factory.mktemp("store"),
        device={"name": "cpu", "threads": 1},
        rpc={"address": "127.0.0.1:0", "drain_grace_s": 0.0},
        metrics={"enabled": False},
        voices={"built_in": True},
    )
    async with running(settings, CollectorRegistry()) as server:
        yield server


def speech(pcm: NDArray[np.int16]) -> NDArray[np.int16]:
    """It without its silences."""
    frames = pcm[: pcm.size // FRAME_SAMPLES * FRAME_SAMPLES].reshape(-1, FRAME_SAMPLES)
    level_db = 10 * np.log10((frames.astype(np.float64) ** 2).mean(axis=1) + 1)
    return frames[level_db > np.percentile(level_db, 95) - QUIET_DB].reshape(-1)


def judgeable(stream: Caller) -> Iterator[tuple[str, NDArray[np.int16]]]:
    """(announced voice, piece of speech) for all that is long enough."""
    for voice, start, end in stream.stretches():
        if end - start >= JUDGED_SAMPLES:
            spoken = speech(stream.heard[start:end])
            for piece in range(spoken.size // JUDGED_SAMPLES):
                yield voice, spoken[piece * JUDGED_SAMPLES : (piece + 1) * JUDGED_SAMPLES]


def as_file(pcm: NDArray[np.int16]) -> bytes:
    file = io.BytesIO()
    soundfile.write(file, pcm, RATE_HZ, format="WAV")
    return file.getvalue()


async def test_whoever_was_announced_is_heard(server: Running) -> None:
    address = f"127.0.0.1:{server.rpc.port}"
    streams = await storm(address, WEATHER, CLIENTS)
    for stream in streams:
        assert stream.done is not None
        assert stream.done.samples == stream.samples
        assert set(stream.notices) <= HARMLESS
    assert sum(len(stream.changes) - 1 for stream in streams) > CLIENTS // 4
    assert all(resident.leases == 0 for resident in server.engine.residency.residents())

    pieces = [piece for stream in streams for piece in judgeable(stream)]
    async with AsyncClient(address) as client:
        heard = [await client.find_voices(as_file(pcm)) for _, pcm in pieces]
    wrong = [(voice, found) for (voice, _), found in zip(pieces, heard, strict=True) if found[0].voice_id != voice]
    assert not wrong
    assert {voice for voice, _ in pieces} == set(VOICES)
