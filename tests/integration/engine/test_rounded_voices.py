"""Voices that chose speed over exactness speak, beside voices that did not and that hear nothing of it."""

import asyncio
from pathlib import Path

import numpy as np
import pytest
import torch

from tests.fixtures.engines import asking, engine_over, hear
from voxswap_server.engine.backends import EngineConfig
from voxswap_server.nn.native.compiler import Processor

TEXT = "Good morning to all of you."


async def test_rounded_and_exact_voices_speak_side_by_side(tiny_store: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("voxswap_server.engine.loader.processor", lambda: Processor(8, 2, halves=True, brain=True))
    async with engine_over(tiny_store) as (engine, _):
        usual = {voice: await hear(engine.synthesizer, asking(voice, TEXT)) for voice in ("amber", "coral")}
    rounded = EngineConfig(int8_voices=("amber",), bf16_voices=("amber",))
    async with engine_over(tiny_store, engine=rounded) as (engine, _):
        heard = dict(
            zip(
                ("amber", "coral"),
                await asyncio.gather(*(hear(engine.synthesizer, asking(voice, TEXT)) for voice in ("amber", "coral"))),
                strict=True,
            )
        )
        async with engine.residency.lease("amber") as lease:
            assert lease.bundle.t2s.tensors["head.weight"].dtype == torch.uint8
            assert lease.bundle.decoder.generator.post.weight.dtype == torch.bfloat16
    assert heard["coral"].done.semantic_tokens == usual["coral"].done.semantic_tokens
    assert np.abs(heard["coral"].pcm.astype(int) - usual["coral"].pcm).max() <= 3  # 1e-4 of the peak
    assert heard["amber"].done.samples == heard["amber"].pcm.size > 0
    assert 100 < np.abs(heard["amber"].pcm).max() < 32767
    assert not np.array_equal(heard["amber"].pcm, usual["amber"].pcm)


async def test_all_backends_say_the_same(tiny_store: Path):
    """The race of every draw was further apart than rounding here, so tokens are equal."""
    heard = []
    for backend in ("native", "torch"):
        async with engine_over(tiny_store, engine=EngineConfig(t2s_backend=backend)) as (engine, _):
            heard.append(await hear(engine.synthesizer, asking("amber", TEXT)))
    assert heard[0].done.semantic_tokens == heard[1].done.semantic_tokens
    assert np.abs(heard[0].pcm.astype(int) - heard[1].pcm).max() <= 3
