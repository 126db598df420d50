"""The whole server: real gRPC, the real engine, tiny voices, the client that users have."""

import asyncio
import os
import re
import shutil
import signal
import sys
import threading
import urllib.request
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from voxswap_client import (
    AsyncClient,
    AudioChunk,
    Client,
    DeadlineExceeded,
    InvalidRequest,
    NewVoice,
    NotFound,
    Prompt,
    Pronunciation,
    Sampling,
    SpeechOptions,
    StreamStarted,
    SynthesisDone,
    VoiceChanges,
    VoiceNotFound,
)
from voxswap_server.app import Running, running
from voxswap_server.demo.tiny import sovits_checkpoint, t2s_checkpoint, tiny_prompt
from voxswap_server.settings import Settings

TEXT = "Good morning to all of you. How are you today?"
OPTIONS = SpeechOptions(language_code="en", sampling=Sampling(seed=3, top_k=5))


@asynccontextmanager
async def serving(store: Path, **changes: Any) -> AsyncIterator[tuple[Running, AsyncClient]]:
    sections: dict[str, Any] = {
        "rpc": {"address": "127.0.0.1:0"},
        "metrics": {"port": 0},
        "device": {"name": "cpu", "threads": 1},
    }
    settings = Settings(store=store, **sections | changes)
    async with running(settings) as server, AsyncClient(f"127.0.0.1:{server.rpc.port}") as client:
        yield server, client


@pytest.fixture
def own_store(tiny_store: Path, tmp_path: Path) -> Path:
    """A copy that a test may change."""
    return Path(shutil.copytree(tiny_store, tmp_path / "store", ignore=shutil.ignore_patterns("tiny")))


async def test_unary_is_the_joined_stream_and_residency_and_metrics_tell_of_it(tiny_store: Path) -> None:
    async with serving(tiny_store) as (server, client):
        events = [event async for event in client.stream(TEXT, "amber", replace(OPTIONS, exact=True))]
        unary = await client.synthesize(TEXT, "amber", OPTIONS)
        chunks = [event for event in events if isinstance(event, AudioChunk)]
        assert isinstance(events[0], StreamStarted)
        assert isinstance(events[-1], SynthesisDone)
        assert len(chunks) > 2
        assert b"".join(chunk.data for chunk in chunks) == unary.audio
        assert (events[0].cache_state, unary.started.cache_state) == ("disk", "device")

        (resident,) = await client.list_residents()
        assert (resident.voice_id, resident.leases, resident.model_generation) == ("amber", 0, 1)
        assert {voice.voice_id: voice.state for voice in await client.list_voices()}["amber"] == "resident"
        stats = await client.cache_stats()
        assert stats.loads == 1

        page = await asyncio.to_thread(_page, server.metrics_url)
        figures = dict(re.findall(r"^(voxswap_\S+?(?:\{[^}]*\})?) (\S+)$", page, re.MULTILINE))
        assert float(figures["voxswap_audio_seconds_total"]) == pytest.approx(2 * len(unary.audio) / 64000)
        method = "voxswap.v1.SpeechService/SynthesizeStream"
        assert figures[f'voxswap_requests_total{{code="OK",method="{method}"}}'] == "1.0"
        assert figures['voxswap_time_to_first_audio_seconds_count{model_state="cold"}'] == "1.0"
        held = float(figures['voxswap_voice_bytes{state="evictable",tier="device"}'])
        assert held == resident.bytes_own + sum(stats.networks.values())
        assert list(stats.networks) == ["hubert"]  # it encoded the prompt


async def test_refusals_reach_the_client_typed(tiny_store: Path) -> None:
    async with serving(tiny_store) as (_, client):
        with pytest.raises(VoiceNotFound, match="did you mean amber"):
            await client.synthesize(TEXT, "ambre", OPTIONS)
        with pytest.raises(InvalidRequest, match="SynthesizeStream"):
            await client.synthesize("word and word, " * 400, "amber", OPTIONS)
        with pytest.raises(DeadlineExceeded):
            await client.synthesize(TEXT * 50, "amber", OPTIONS, timeout_s=0.3)
        async with client.live("ambre", OPTIONS) as session:
            with pytest.raises(VoiceNotFound, match="did you mean amber"):
                await anext(aiter(session))
        # Returns when the last lease of it has: the request that ran out of time holds nothing any more.
        await client.unload_voice("amber", wait=True)
        assert await client.list_residents() == ()


async def test_a_voice_is_uploaded_spoken_with_changed_and_deleted(own_store: Path) -> None:
    prompt = tiny_prompt(5)
    new = NewVoice(
        "pearl",
        t2s_checkpoint("v2", 50),
        sovits_checkpoint("v2", 50),
        reference_audio=prompt.audio,
        transcript=prompt.transcript,
        transcript_language_code="en",
        display_name="Pearl",
    )
    async with serving(own_store) as (_, client):
        created = await client.create_voice(new)
        assert (created.voice_id, created.version, created.state) == ("pearl", "v2", "cold")
        first = await client.synthesize(TEXT, "pearl", OPTIONS)
        other = tiny_prompt(6)
        changes = VoiceChanges(prompt=Prompt(other.audio, other.transcript, "en"), description="Another speaker.")
        changed = await client.update_voice("pearl", changes)
        assert changed.description == "Another speaker."
        assert changed.revision != created.revision
        second = await client.synthesize(TEXT, "pearl", OPTIONS)
        assert second.started.model_generation > first.started.model_generation
        assert second.audio != first.audio
        await client.delete_voice("pearl")
        with pytest.raises(NotFound):
            await client.get_voice("pearl")
        with pytest.raises(VoiceNotFound):
            await client.synthesize(TEXT, "pearl", OPTIONS)


async def test_what_others_do_to_the_store_is_followed(own_store: Path) -> None:
    async with serving(own_store) as (server, client):
        await client.load_voice("onyx")
        assert (await client.voice_health("onyx")).serving
        gone = asyncio.Event()

        async def watch() -> None:
            async with client.watch_residents() as events:
                ready.set()
                async for event in events:
                    if event.kind == "evicted" and event.voice_id == "onyx":
                        gone.set()
                        return

        ready = asyncio.Event()
        task = asyncio.create_task(watch())
        await ready.wait()
        await asyncio.to_thread(server.engine.catalogue.delete, "onyx")
        await asyncio.wait_for(gone.wait(), 60)
        await task


def test_the_command_serves_until_it_is_told_to_stop(tiny_store: Path) -> None:
    asyncio.run(_serve_and_stop(tiny_store))


async def _serve_and_stop(store: Path) -> None:
    command = "from voxswap_server.cli import main; main()"
    server = await asyncio.create_subprocess_exec(
        sys.executable,
        "-c",
        command,
        "serve",
        "--store",
        str(store),
        "--address",
        "127.0.0.1:0",
        "--metrics-port",
        "0",
        stdout=asyncio.subprocess.PIPE,
        env=os.environ | {"VOXSWAP_DEVICE__THREADS": "1"},
    )
    assert server.stdout is not None
    port = 0
    async for line in server.stdout:
        if b'"event": "serving"' in line or b'"event":"serving"' in line:
            port = int(re.search(rb'"port": ?(\d+)', line)[1])  # type: ignore[index]
            break
    assert port
    begun = threading.Event()
    speaking = asyncio.create_task(asyncio.to_thread(_speak, port, begun))
    await asyncio.to_thread(begun.wait)
    server.send_signal(signal.SIGTERM)
    rest = await server.stdout.read()
    assert await server.wait() == 0
    assert isinstance((await speaking)[-1], SynthesisDone)
    assert b"draining" in rest


def _speak(port: int, begun: threading.Event) -> list[Any]:
    """A stream during which the server is told to stop; it is heard to its end."""
    events: list[Any] = []
    with Client(f"127.0.0.1:{port}") as client:
        for event in client.stream(TEXT, "amber", OPTIONS):
            events.append(event)
            if isinstance(event, AudioChunk):
                begun.set()
    return events


def _page(url: str) -> str:
    with urllib.request.urlopen(url, timeout=10) as answer:
        return str(answer.read().decode())


async def _nothing() -> AsyncIterator[Any]:
    return
    yield


async def test_pronunciations_and_sampling_of_a_voice_are_changed_and_heard(own_store: Path) -> None:
    async with serving(own_store) as (_, client):
        options = SpeechOptions(language_code="en", sampling=Sampling(seed=3))
        before = await client.synthesize("Tomato.", "amber", options)
        said = (Pronunciation("tomato", "T AH0 M AA1 T OW0"),)
        await client.update_voice("amber", VoiceChanges(pronunciations=said, sampling=Sampling(top_k=1)))
        after = await client.synthesize("Tomato.", "amber", options)
        asked = SpeechOptions(language_code="en", sampling=Sampling(seed=3, top_k=1), pronunciations=said)
        assert after.audio == (await client.synthesize("Tomato.", "amber", asked)).audio
        assert after.audio != before.audio
        with pytest.raises(InvalidRequest, match="Q9"):
            await client.update_voice("amber", VoiceChanges(pronunciations=(Pronunciation("tomato", "Q9"),)))
        assert (await client.synthesize("Tomato.", "amber", options)).audio == after.audio
        await client.update_voice("amber", VoiceChanges(pronunciations=()))
        plain = SpeechOptions(language_code="en", sampling=Sampling(seed=3, top_k=1))
        assert (await client.synthesize("Tomato.", "amber", options)).audio == (
            await client.synthesize("Tomato.", "amber", plain)
        ).audio
