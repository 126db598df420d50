"""Every kind of network speaks in half precision too: one voice for each."""

from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pytest

from tests.fixtures.engines import asking, engine_over, hear
from voxswap_server.demo.tiny import build_tiny_store

KINDS = ("v2", "v2ProPlus", "v3", "v4-lora")
VOICES: Mapping[str, tuple[str, int]] = {kind.lower(): (kind, seed) for seed, kind in enumerate(KINDS, 1)}
ASSETS = ("hubert", "bert", "eres2net", "sovits_v4", "bigvgan", "vocoder_v4")


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("precisions") / "store"
    build_tiny_store(root, VOICES, assets=ASSETS)
    return root


@pytest.mark.parametrize("precision", ["fp16", "bf16"])
async def test_every_kind_of_network_speaks_in_half_precision(store: Path, precision: str):
    device = {"name": "cpu", "threads": 1, "precision": precision}
    async with engine_over(store, device=device) as (engine, _):
        for voice in VOICES:
            heard = await hear(engine.synthesizer, asking(voice, "Good morning.", sample_steps=2))
            assert heard.done is not None
            assert heard.done.samples == heard.pcm.size > 0
            assert np.abs(heard.pcm).max() > 100, f"{voice} is silent"
            assert np.abs(heard.pcm).max() < 32767, f"{voice} is clipped"
