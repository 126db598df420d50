"""Streams that are heard while their tokens are drawn, through the real engine on tiny voices of every version."""

import time
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import pytest_asyncio
import torch

from tests.fixtures.engines import asking, engine_over, hear
from voxswap_server.app import Engine
from voxswap_server.demo.tiny import sovits_file, t2s_checkpoint, tiny_prompt, write_pretrained_models
from voxswap_server.demo.tiny_sovits import sovits_weights
from voxswap_server.domain import CutMethod
from voxswap_server.engine.estimates import COLD
from voxswap_server.errors import DeadlineExceeded, DegenerateAudio
from voxswap_store.asset_importer import import_assets
from voxswap_store.importer import ImportRequest, import_voice

pytestmark = pytest.mark.asyncio(loop_scope="module")
TEXT = "Good morning to all of you, and welcome to the house by the sea."
LONG = "The rain has stopped. The sea is calm. We could walk to the lighthouse. The path is dry. Take a coat."


@pytest_asyncio.fixture(loop_scope="module", scope="module")
async def engine(tiny_store: Path) -> AsyncIterator[Engine]:
    async with engine_over(tiny_store, scheduling={"batching": False}) as (engine, _):
        yield engine


@pytest.mark.parametrize("voice", ["amber", "coral", "onyx"])
async def test_a_stream_says_the_same_tokens_as_an_exact_one(engine: Engine, voice: str) -> None:
    request = asking(voice, TEXT, cut_method=CutMethod.NONE)
    stream, exact = [await hear(engine.synthesizer, replace(request, exact=exact)) for exact in (False, True)]
    assert stream.done is not None
    assert exact.done is not None
    assert stream.done.semantic_tokens == exact.done.semantic_tokens > 30
    assert stream.pcm.size == exact.pcm.size
    assert stream.data != exact.data
    first, whole = (np.square(one.pcm.astype(float)).mean() ** 0.5 for one in (stream, exact))
    assert first == pytest.approx(whole, rel=0.5)


async def test_a_stream_is_heard_before_its_last_token_is_drawn(tiny_store: Path) -> None:
    """Seen by what the device did: calls of T2S after the first call of the decoder."""
    stages: list[str] = []
    async with engine_over(tiny_store) as (engine, _):
        seen = engine.worker._metrics.stage  # type: ignore[attr-defined]
        engine.worker._metrics.stage = lambda stage, seconds: (stages.append(stage), seen(stage, seconds))  # type: ignore[attr-defined]
        request = asking("amber", TEXT, cut_method=CutMethod.NONE)
        await hear(engine.synthesizer, request)
        assert "t2s" in stages[stages.index("decode") :]
        stages.clear()
        await hear(engine.synthesizer, replace(request, exact=True))
        assert "t2s" not in stages[stages.index("decode") :]


async def test_a_unary_answer_is_exact(engine: Engine) -> None:
    request = asking("amber", TEXT)
    unary = await hear(engine.synthesizer, replace(request, unary=True))
    assert unary.data == (await hear(engine.synthesizer, replace(request, exact=True))).data


@pytest.mark.parametrize("exact", [False, True])
async def test_utterances_that_run_ahead_sound_as_one_after_another(tiny_store: Path, *, exact: bool) -> None:
    heard = []
    for utterances in (1, 4):
        speech = {"look_ahead_utterances": utterances}
        async with engine_over(tiny_store, scheduling={"batching": False}, speech=speech) as (engine, _):
            heard.append(await hear(engine.synthesizer, asking("slate", LONG, exact=exact)))
    one, many = heard
    assert one.done is not None
    assert one.done.utterances == 5
    assert many.data == one.data


async def test_utterances_that_run_ahead_share_steps(tiny_store: Path) -> None:
    async with engine_over(tiny_store, speech={"look_ahead_utterances": 4}) as (engine, registry):
        await hear(engine.synthesizer, asking("slate", LONG, unary=True))
        rows = registry.get_sample_value("voxswap_batch_size_sum") or 0
        calls = registry.get_sample_value("voxswap_batch_size_count") or 1
    assert rows / calls > 1.5


async def test_speed_changes_a_stream_as_it_changes_an_exact_one(engine: Engine) -> None:
    for speed in (0.5, 1.7):
        request = asking("amber", TEXT, speaking_rate=speed)
        stream, exact = [await hear(engine.synthesizer, replace(request, exact=exact)) for exact in (False, True)]
        assert stream.pcm.size == exact.pcm.size


async def test_a_server_that_knows_its_pace_refuses_what_cannot_be_in_time(tiny_store: Path) -> None:
    async with engine_over(tiny_store) as (engine, _):
        hopeless = asking("amber", "The rain has stopped. " * 400)
        for seed in range(COLD):
            await hear(engine.synthesizer, asking("amber", "The rain has stopped.", seed=seed))
        with pytest.raises(DeadlineExceeded, match="would take about"):
            await hear(engine.synthesizer, replace(hopeless, deadline_s=time.monotonic() + 2.0))
        heard = await hear(engine.synthesizer, asking("amber", "We go.", deadline_s=time.monotonic() + 300.0))
        assert heard.pcm.size


@pytest.fixture
def mute_store(tmp_path: Path) -> Path:
    """Two voices whose decoder makes nothing but zeros; the speech of one is checked."""
    weight, config = sovits_weights("v2", 1)
    mute = sovits_file(weight | {"dec.conv_post.weight": torch.zeros_like(weight["dec.conv_post.weight"])}, config)
    import_assets(write_pretrained_models(tmp_path / "pretrained_models", ("hubert",)), tmp_path, only=("hubert",))
    for name, checked in (("checked", True), ("unchecked", False)):
        import_voice(ImportRequest(name, t2s_checkpoint("v2", 1), mute, tiny_prompt(1), check_speech=checked), tmp_path)
    return tmp_path


async def test_degenerate_speech_is_an_error_of_its_own_counted_and_only_where_it_is_checked(mute_store: Path) -> None:
    async with engine_over(mute_store) as (engine, registry):
        with pytest.raises(DegenerateAudio, match="silence") as caught:
            await hear(engine.synthesizer, asking("checked", "The rain has stopped."))
        assert caught.value.fault == "silence"
        heard = await hear(engine.synthesizer, asking("unchecked", "The rain has stopped."))
        labels = {"fault": "silence", "outcome": "failed"}
        assert registry.get_sample_value("voxswap_degenerate_utterances_total", labels) == 1
    assert heard.done is not None
    assert heard.done.retried_utterances == 0
    assert not heard.pcm.any()
