"""Super sampling through the whole engine: v3 voices at 48 kHz, all others refused, and what lacks is told first."""

import asyncio
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import pytest_asyncio

from tests.fixtures.engines import asking, engine_over, hear
from tests.fixtures.live import LiveEars, hear_live, live_config
from voxswap_server.app import Engine
from voxswap_server.demo.tiny import LORA, build_tiny_store
from voxswap_server.domain import AudioFormat, SamplingParams, SynthesisRequest, TimestampKind, Timestamps
from voxswap_server.domain_live import Flush, LiveText, SwitchPoint, SwitchVoice, VoiceChanged
from voxswap_server.errors import RequestError

pytestmark = pytest.mark.asyncio(loop_scope="module")

VOICES = {"oak": ("v3", 1), "elm": (f"v3{LORA}", 2), "fir": ("v2", 3)}
TEXT = "Good morning."


def asked(voice: str = "oak", text: str = TEXT, **changes: object) -> SynthesisRequest:
    usual = {"sample_steps": 2, "sampling": SamplingParams(seed=7, top_k=5), "super_sampling": True}
    return asking(voice, text, **usual | changes)


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("wide") / "store"
    build_tiny_store(root, VOICES, assets=("hubert", "sovits_v3", "bigvgan", "ap_bwe"))
    return root


@pytest_asyncio.fixture(loop_scope="module", scope="module")
async def engine(store: Path) -> AsyncIterator[Engine]:
    async with engine_over(store, scheduling={"batching": False}) as (engine, _):
        yield engine


@pytest.mark.parametrize("unary", [False, True])
async def test_a_voice_of_24_khz_is_heard_at_48(engine: Engine, unary: bool) -> None:
    plain = await hear(engine.synthesizer, asked(super_sampling=False, unary=unary))
    wide = await hear(engine.synthesizer, asked(unary=unary))
    assert plain.started is not None
    assert wide.started is not None
    assert (plain.started.sample_rate_hz, wide.started.sample_rate_hz) == (24_000, 48_000)
    assert wide.pcm.size == 2 * plain.pcm.size == wide.done.samples
    assert np.abs(wide.pcm.astype(int)).max() > 100


async def test_the_same_seed_gives_the_same_audio_in_company(engine: Engine) -> None:
    requests = [asked("oak"), asked("oak", unary=True), asked("elm")]
    alone = [await hear(engine.synthesizer, request) for request in requests]
    together = await asyncio.gather(*(hear(engine.synthesizer, request) for request in requests))
    assert [one.data for one in together] == [one.data for one in alone]
    assert len({one.data for one in alone}) == len(requests)


async def test_the_network_is_held_in_the_one_budget(engine: Engine) -> None:
    await hear(engine.synthesizer, asked())
    stats = await engine.residency.cache_stats()
    assert stats.networks["ap_bwe"] > 0
    assert {one.voice_id for one in engine.residency.residents()} <= VOICES.keys()


async def test_another_rate_can_be_asked_of_it(engine: Engine) -> None:
    heard = await hear(engine.synthesizer, asked(audio=AudioFormat(sample_rate_hz=16_000)))
    wide = await hear(engine.synthesizer, asked())
    assert heard.started is not None
    assert heard.started.sample_rate_hz == 16_000
    assert heard.pcm.size == pytest.approx(wide.pcm.size / 3, abs=1)


async def test_timestamps_are_in_samples_of_what_is_sent(engine: Engine) -> None:
    request = asked(timestamps=frozenset({TimestampKind.WORD}))
    plain, wide = [
        [event.timestamps async for event in engine.synthesizer.synthesize(one) if isinstance(event, Timestamps)]
        for one in (replace(request, super_sampling=False), request)
    ]
    assert plain
    doubled = [
        tuple(replace(one, start_sample=2 * one.start_sample, end_sample=2 * one.end_sample) for one in stamps)
        for stamps in plain
    ]
    assert wide == doubled


async def test_sentences_of_a_live_stream_are_super_sampled_each_as_a_request(engine: Engine) -> None:
    speech = {name: getattr(asked(), name) for name in ("sampling", "sample_steps", "super_sampling")}
    heard = await hear_live(engine.live, live_config("oak", **speech), LiveText(TEXT))
    alone = await hear(engine.synthesizer, asked())
    assert heard.started.sample_rate_hz == 48_000
    assert np.array_equal(heard.pcm, alone.pcm)


async def test_a_later_voice_of_a_live_stream_that_cannot_is_resampled(engine: Engine) -> None:
    speech = {name: getattr(asked(), name) for name in ("sampling", "sample_steps", "super_sampling")}
    heard = LiveEars()
    heard.say(LiveText(TEXT), Flush())
    config = live_config("oak", timestamps=frozenset({TimestampKind.WORD}), **speech)
    listening = asyncio.create_task(heard.listen(engine.live, config))
    await heard.heard(lambda ears: ears.samples > 0)  # else the first sentence may be the next one
    said = await heard.switched(SwitchVoice("fir", SwitchPoint.NEXT_SENTENCE), f"{TEXT} ", 1)
    heard.end()
    await listening
    assert heard.started.sample_rate_hz == 48_000
    (changed,) = heard.of(VoiceChanged)
    assert changed.start_sample > 0
    left = heard.pcm.size - changed.start_sample
    for number in reversed(range(said)):  # how many sentences the old voice still said is not known
        sampling = SamplingParams(seed=7 + number, top_k=5)
        alone = await hear(engine.synthesizer, asked("fir", super_sampling=False, sampling=sampling))
        left -= alone.pcm.size * 3 // 2
        if left <= 2 * said:
            break
    assert abs(left) <= 2 * said  # each sentence is resampled as one signal, and rounded to whole samples


async def test_a_voice_of_another_rate_is_refused_and_told_which_can(engine: Engine) -> None:
    with pytest.raises(RequestError, match=r"'fir' of v2 speaks at 32000 Hz .*: those of v3") as refused:
        await hear(engine.synthesizer, asked("fir"))
    assert refused.value.field == "super_sampling"
