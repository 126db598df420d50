"""LoRA voices lie on one base: its memory is held once, and what they say is what a whole checkpoint would say."""

from pathlib import Path

import pytest
import pytest_asyncio

from tests.fixtures.engines import asking, engine_over, hear
from voxswap_server.app import Engine
from voxswap_server.demo.tiny import LORA, build_tiny_store
from voxswap_server.domain import SamplingParams
from voxswap_server.errors import AssetMissing, VoiceUnusable
from voxswap_store.assets import base_file
from voxswap_store.catalogue import Catalogue

pytestmark = pytest.mark.asyncio(loop_scope="module")

STEPS = {"sample_steps": 2, "sampling": SamplingParams(seed=7, top_k=5)}


@pytest.fixture(scope="module")
def store(tmp_path_factory) -> Path:
    root = tmp_path_factory.mktemp("lora") / "store"
    build_tiny_store(root, {"ash": (f"v4{LORA}", 1), "beech": (f"v4{LORA}", 2), "cedar": (f"v4{LORA}", 1)})
    return root


@pytest_asyncio.fixture(loop_scope="module", scope="module")
async def engine(store: Path):
    async with engine_over(store) as (engine, _):
        yield engine


async def test_voices_of_one_base_speak_each_with_its_own_voice(engine: Engine) -> None:
    requests = [asking(name, "Good morning.", **STEPS) for name in ("ash", "beech", "cedar")]
    first, second, twin = [await hear(engine.synthesizer, request) for request in requests]
    assert first.started is not None
    assert first.started.sample_rate_hz == 48_000
    assert first.data == twin.data
    assert first.data != second.data


async def test_the_memory_of_the_base_is_held_once(engine: Engine) -> None:
    residency = engine.residency
    async with residency.lease("ash") as ash_lease, residency.lease("beech") as beech_lease:
        ash, beech = (lease.bundle.decoder.state_dict() for lease in (ash_lease, beech_lease))
        shared = {name for name in ash if ash[name].data_ptr() == beech[name].data_ptr()}
        assert {"dit.blocks.0.attention.qkv.weight", "prior.phone_embedding.weight"} <= shared
        assert not shared & {"dit.blocks.0.attention.qkv.down", "condition.bridge.0.weight"}
        residents = {one.voice_id: one for one in await residency.list_residents()}
        assert residents["ash"].bytes_shared >= sum(ash[name].nbytes for name in shared)
        used = (await residency.cache_stats()).bytes_used["device"]
        assert used < sum(one.bytes_own + one.bytes_shared for one in residents.values())


async def test_a_base_that_is_missing_or_another_is_told(store: Path, tmp_path: Path) -> None:
    base = base_file(store, "v4")
    kept = base.read_bytes()
    async with engine_over(store) as (engine, _):
        try:
            base.write_bytes(kept[:-1] + bytes([kept[-1] ^ 1]))
            with pytest.raises(VoiceUnusable, match="the base that it lies on is another one now"):
                Catalogue(store).validate("ash")
            with pytest.raises(VoiceUnusable, match=r"ash.*not the file that the manifest describes"):
                await hear(engine.synthesizer, asking("ash", "Good morning.", **STEPS))
            base.unlink()
            with pytest.raises(AssetMissing, match="v4 base model"):
                await hear(engine.synthesizer, asking("beech", "Good morning.", **STEPS))
        finally:
            base.write_bytes(kept)
    assert Catalogue(store).validate("ash").manifest.base_sha256 is not None
