"""Who is heard, through the engine and through gRPC, on tiny voices and a tiny speaker encoder."""

import asyncio
import io
import shutil
import threading
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import grpc
import numpy as np
import pytest
import soundfile
from grpc import aio
from prometheus_client import CollectorRegistry
from structlog.testing import capture_logs

from tests.fixtures.engines import engine_over
from voxswap.v1 import voice_service_pb2 as messages
from voxswap.v1 import voice_service_pb2_grpc
from voxswap_server.app import running
from voxswap_server.demo.tiny import tiny_prompt
from voxswap_server.demo.tiny_ecapa import write_ecapa
from voxswap_server.demo.tiny_speech import speech_clip
from voxswap_server.errors import BadReferenceAudio
from voxswap_server.settings import Settings
from voxswap_store.asset_importer import import_assets
from voxswap_store.catalogue import Catalogue
from voxswap_store.manifest import format_manifest

SEEDS = {"amber": 1, "slate": 2, "coral": 3, "onyx": 4}
"""Whose clip each voice of the tiny store has."""


@pytest.fixture(scope="module")
def furnished(tiny_store: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The tiny store with a speaker encoder. Read only."""
    folder = tmp_path_factory.mktemp("furnished")
    root = Path(shutil.copytree(tiny_store, folder / "store", ignore=shutil.ignore_patterns("tiny")))
    install(root, folder, seed=0)
    return root


@pytest.fixture
def store(furnished: Path, tmp_path: Path) -> Path:
    """A copy that a test may change."""
    return Path(shutil.copytree(furnished, tmp_path / "store"))


def install(root: Path, folder: Path, seed: int) -> None:
    write_ecapa(folder / f"encoder-{seed}", seed)
    import_assets(folder / f"encoder-{seed}", root)


@pytest.fixture
def logs() -> Iterator[list[Any]]:
    with capture_logs() as logs:
        yield logs


def wav(samples: np.ndarray, rate_hz: int = 16_000) -> bytes:
    out = io.BytesIO()
    soundfile.write(out, samples, rate_hz, format="WAV", subtype="PCM_16")
    return out.getvalue()


def looked_up(registry: CollectorRegistry) -> tuple[float, float]:
    """Hits and misses."""
    labels = [{"cache": "embeddings", "result": result} for result in ("hit", "miss")]
    return tuple(registry.get_sample_value("voxswap_cache_lookups_total", each) or 0 for each in labels)


async def test_an_embedding_is_computed_once(furnished: Path) -> None:
    async with engine_over(furnished) as (engine, registry):
        first, again = await asyncio.gather(*(engine.speakers.embed(speech_clip(7)) for _ in range(2)))
        other = await engine.speakers.embed(speech_clip(8))
        assert first == again
        assert len(first) == 192
        assert np.linalg.norm(first) == pytest.approx(1, abs=1e-5)
        assert np.abs(np.subtract(first, other)).max() > 1e-3
        assert looked_up(registry) == (1, 2)
        stats = await engine.residency.cache_stats()
        assert (stats.hits["embeddings"], stats.misses["embeddings"]) == (1, 2)


async def test_the_same_sound_in_another_file_is_the_same_speaker(furnished: Path) -> None:
    samples, rate_hz = soundfile.read(io.BytesIO(speech_clip(7)))
    out = io.BytesIO()
    soundfile.write(out, np.stack([samples, samples], 1), rate_hz, format="FLAC")
    async with engine_over(furnished) as (engine, _):
        assert await engine.speakers.compare(speech_clip(7), out.getvalue()) == pytest.approx(1, abs=1e-4)
        assert await engine.speakers.compare(speech_clip(7), speech_clip(7)) == pytest.approx(1, abs=1e-6)
        there = await engine.speakers.compare(speech_clip(7), speech_clip(8))
        assert -1 <= there < 0.9999
        assert there == await engine.speakers.compare(speech_clip(8), speech_clip(7))


REFUSED = {
    "not an audio file": b"no audio at all",
    "0 bytes": b"",
    r"0\.49 s long; it must be at least 0\.5 s": wav(np.full(7_840, 0.1)),
    "longer than 60 s": wav(np.full(16_000 * 61, 0.1)),
    "silent": wav(np.zeros(16_000)),
}


async def test_audio_that_tells_nobody_is_refused(furnished: Path) -> None:
    async with engine_over(furnished) as (engine, _):
        for why, audio in REFUSED.items():
            for _ in range(2):  # an error is not kept in place of an embedding
                with pytest.raises(BadReferenceAudio, match=why):
                    await engine.speakers.embed(audio)
        assert await engine.speakers.embed(wav(np.sin(np.arange(8_000)) * 0.1))


async def test_the_nearest_voice_is_the_one_that_is_heard(furnished: Path) -> None:
    async with engine_over(furnished) as (engine, registry):
        for voice_id, seed in SEEDS.items():
            matches = await engine.speakers.find_voices(tiny_prompt(seed).audio, limit=10)
            assert matches[0].voice_id == voice_id
            assert matches[0].similarity == pytest.approx(1, abs=1e-6)
            assert {match.voice_id for match in matches} == set(SEEDS)
            assert [match.similarity for match in matches] == sorted((m.similarity for m in matches), reverse=True)
        assert looked_up(registry) == (4 * 5 - 4, 4)  # a voice's reference and the same file sent are one entry
        assert len(await engine.speakers.find_voices(speech_clip(9), limit=2)) == 2


async def test_voices_alike_come_in_the_order_of_their_ids(store: Path) -> None:
    for name in ("zinc", "basalt"):
        twin(store, "amber", name)
    async with engine_over(store) as (engine, _):
        matches = await engine.speakers.find_voices(tiny_prompt(SEEDS["amber"]).audio, limit=3)
    assert [match.voice_id for match in matches] == ["amber", "basalt", "zinc"]
    assert len({match.similarity for match in matches}) == 1


def twin(store: Path, voice_id: str, name: str, **changes: Any) -> Path:
    """Another voice with the files of one that is there."""
    entry = Catalogue(store).get(voice_id)
    directory = Path(shutil.copytree(entry.directory, store / "voices" / name))
    manifest = entry.manifest.model_copy(update={"voice_id": name, **changes})
    (directory / "voice.toml").write_text(format_manifest(manifest), encoding="utf-8")
    return directory


async def test_voices_that_cannot_be_heard_hide_no_other(store: Path, logs: list[Any]) -> None:
    (twin(store, "amber", "broken") / "voice.toml").write_text("broken")
    files = Catalogue(store).get("amber").manifest.files
    twin(store, "amber", "mute", files=files.model_copy(update={"reference": None, "prompt": None}), prompt=None)
    assert files.reference is not None
    damaged = twin(store, "slate", "damaged") / Catalogue(store).get("slate").manifest.files.reference.name
    damaged.write_bytes(bytes(damaged.stat().st_size))
    shutil.rmtree(store / "voices" / "slate")
    async with engine_over(store) as (engine, _):
        matches = await engine.speakers.find_voices(speech_clip(9), limit=10)
    assert {match.voice_id for match in matches} == {"amber", "coral", "onyx"}
    left_out = [entry for entry in logs if entry["event"] == "reference audio left out"]
    assert [entry["voice"] for entry in left_out] == ["damaged"]
    assert "not the file that the manifest describes" in left_out[0]["problem"]


async def test_other_weights_are_taken_up_and_their_embeddings_not_mixed(store: Path, tmp_path: Path) -> None:
    async with engine_over(store) as (engine, registry):
        before = await engine.speakers.embed(speech_clip(7))
        install(store, tmp_path, seed=5)
        after = await engine.speakers.embed(speech_clip(7))
        assert looked_up(registry) == (0, 2)
        install(store, tmp_path, seed=0)
        assert await engine.speakers.embed(speech_clip(7)) == before != after


async def test_who_goes_away_leaves_the_computation_to_the_others(furnished: Path) -> None:
    computing, go_on = threading.Event(), threading.Event()
    async with engine_over(furnished, speakers={"threads": 2}) as (engine, registry):
        compute = engine.speakers._compute

        def held_up(*arguments: Any) -> Any:
            computing.set()
            assert go_on.wait(60)
            return compute(*arguments)

        engine.speakers._compute = held_up  # type: ignore[method-assign]
        impatient = asyncio.create_task(engine.speakers.embed(speech_clip(7)))
        assert await asyncio.to_thread(computing.wait, 60)
        patient = asyncio.create_task(engine.speakers.embed(speech_clip(7)))
        impatient.cancel()
        with pytest.raises(asyncio.CancelledError):
            await impatient
        go_on.set()
        assert len(await patient) == 192
        assert looked_up(registry) == (1, 1)


# --- over gRPC -----------------------------------------------------------------------------------------------------


@asynccontextmanager
async def stub_of(store: Path) -> AsyncIterator[voice_service_pb2_grpc.VoiceServiceStub]:
    settings = Settings(
        store=store,
        device={"name": "cpu", "threads": 1},
        rpc={"address": "127.0.0.1:0"},
        metrics={"enabled": False},
        voices={"warm_languages": ()},
    )
    async with running(settings) as server, aio.insecure_channel(f"127.0.0.1:{server.rpc.port}") as channel:
        yield voice_service_pb2_grpc.VoiceServiceStub(channel)


async def test_over_grpc(furnished: Path) -> None:
    async with stub_of(furnished) as stub:
        embedded = await stub.EmbedSpeaker(messages.EmbedSpeakerRequest(audio_content=speech_clip(7)))
        assert np.linalg.norm(embedded.embedding) == pytest.approx(1, abs=1e-5)
        both = messages.CompareSpeakersRequest(first_audio_content=speech_clip(7), second_audio_content=speech_clip(7))
        assert (await stub.CompareSpeakers(both)).similarity == pytest.approx(1, abs=1e-6)
        asked = messages.FindVoicesRequest(audio_content=tiny_prompt(SEEDS["coral"]).audio, limit=2)
        matches = (await stub.FindVoices(asked)).matches
        assert [match.voice_id for match in matches][:1] == ["coral"]
        assert len(matches) == 2
        with pytest.raises(aio.AioRpcError, match=r"0\.25 s long") as refusal:
            await stub.EmbedSpeaker(messages.EmbedSpeakerRequest(audio_content=wav(np.full(4_000, 0.1))))
        assert refusal.value.code() is grpc.StatusCode.INVALID_ARGUMENT


async def test_over_grpc_without_weights(tiny_store: Path) -> None:
    clip = speech_clip(7)
    async with stub_of(tiny_store) as stub:
        for call in (
            stub.EmbedSpeaker(messages.EmbedSpeakerRequest(audio_content=clip)),
            stub.CompareSpeakers(messages.CompareSpeakersRequest(first_audio_content=clip, second_audio_content=clip)),
            stub.FindVoices(messages.FindVoicesRequest(audio_content=clip)),
        ):
            with pytest.raises(aio.AioRpcError, match="voxswap assets fetch ecapa") as refusal:
                await call
            assert refusal.value.code() is grpc.StatusCode.FAILED_PRECONDITION
