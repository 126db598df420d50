"""The store's loader under residency: sizes as planned, memory that really goes, swaps that leave nothing behind."""

import gc
import weakref
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from tests.fixtures.fake_loader import RecordedMetrics
from voxswap_server.domain import CacheState
from voxswap_server.engine.backends import EngineConfig
from voxswap_server.engine.device import DeviceConfig, open_device
from voxswap_server.engine.loader import StoreLoader
from voxswap_server.engine.residency import ResidencyConfig, ResidencyManager
from voxswap_server.engine.residency.contract import DeviceOutOfMemory
from voxswap_server.errors import RequestError
from voxswap_server.nn.native.compiler import Processor
from voxswap_server.nn.specs import spec_of
from voxswap_server.nn.t2s import T2S
from voxswap_server.nn.t2s_native import NativeT2S
from voxswap_store.blocks import LARGE_BYTES
from voxswap_store.catalogue import Catalogue


@pytest.fixture(scope="module")
def loader(tiny_store: Path) -> StoreLoader:
    return StoreLoader(Catalogue(tiny_store), open_device(DeviceConfig(name="cpu")))


@pytest.mark.parametrize("voice_id", ["amber", "coral", "onyx"])
def test_parts_take_the_memory_that_was_planned(loader, voice_id):
    for part in loader.plan(voice_id).parts:
        loaded = loader.load_part(part)
        assert loaded.size_bytes == part.size_bytes, part.source.path.name
        loader.release(loaded)


@pytest.mark.parametrize(("worth_bytes", "large_bytes", "trims"), [(1, 1 << 40, 1), (1 << 40, 1 << 40, 0), (1, 1, 0)])
def test_the_heap_is_trimmed_only_where_it_gets_much_back(tiny_store, monkeypatch, worth_bytes, large_bytes, trims):
    """Rounded weights of a tiny voice lie on the heap, those of a large one in a block that is used again."""
    loader = StoreLoader(
        Catalogue(tiny_store), open_device(DeviceConfig(name="cpu")), EngineConfig(int8_voices=("amber",))
    )
    loader.load_part(loader.plan("amber").parts[0])  # rounded now, if not before: the next load reads what was kept
    trimmed = trims_of(monkeypatch, worth_bytes)
    monkeypatch.setattr("voxswap_store.blocks.LARGE_BYTES", large_bytes)
    loader.release(loader.load_part(loader.plan("amber").parts[0]))
    assert len(trimmed) == trims


def test_a_network_that_keeps_its_memory_gives_the_heap_nothing_back(loader, monkeypatch):
    trimmed = trims_of(monkeypatch, worth_bytes=1)
    for part in loader.plan("amber").parts[:2]:
        loader.release(loader.load_part(part))
    assert trimmed == []


def trims_of(monkeypatch, worth_bytes):
    """Where each will be noted."""
    trimmed: list[None] = []
    monkeypatch.setattr("voxswap_server.engine.loader.give_back_to_the_system", lambda: trimmed.append(None))
    monkeypatch.setattr("voxswap_server.engine.loader._WORTH_TRIMMING_BYTES", worth_bytes)
    return trimmed


def test_what_was_evicted_is_gone_without_the_garbage_collector(loader):
    need = {name: sum(part.size_bytes for part in loader.plan(name).parts) for name in ("amber", "coral")}
    config = ResidencyConfig(device_budget_bytes=max(need.values()), min_resident_s=0.0)
    manager = ResidencyManager(loader, config, RecordedMetrics())
    manager.start()
    gc.disable()
    try:
        with manager.lease_blocking("amber", timeout_s=60.0) as lease:
            weights = [weakref.ref(lease.bundle.t2s), weakref.ref(lease.bundle.decoder)]
        del lease
        for _ in range(3):
            with manager.lease_blocking("coral", timeout_s=60.0) as lease:
                assert lease.cache_state is CacheState.DISK
            assert [reference() for reference in weights] == [None, None]
            with manager.lease_blocking("amber", timeout_s=60.0) as lease:
                weights = [weakref.ref(lease.bundle.t2s), weakref.ref(lease.bundle.decoder)]
            del lease
    finally:
        gc.enable()
        assert manager.close()
    assert [reference() for reference in weights] == [None, None]


@pytest.mark.parametrize("backend", ["native", "torch"])
@pytest.mark.parametrize("voice_id", ["amber", "coral"])
def test_either_backend_takes_the_memory_that_was_planned(tiny_store, backend, voice_id):
    device = open_device(DeviceConfig(name="cpu"))
    loader = StoreLoader(Catalogue(tiny_store), device, EngineConfig(t2s_backend=backend))
    part, *_ = loader.plan(voice_id).parts
    loaded = loader.load_part(part)
    assert loaded.size_bytes == part.size_bytes
    assert isinstance(loaded.value, {"native": NativeT2S, "torch": T2S}[backend])


def test_a_voice_in_eight_bits_is_another_part_of_half_the_size(tiny_store):
    device = open_device(DeviceConfig(name="cpu"))
    loader = StoreLoader(Catalogue(tiny_store), device, EngineConfig(int8_voices=("amber",)))
    exact = StoreLoader(Catalogue(tiny_store), device).plan("amber").parts[0]
    rounded = loader.plan("amber").parts[0]
    assert rounded.key == f"{exact.key}+int8"
    assert loader.load_part(rounded).size_bytes == rounded.size_bytes < exact.size_bytes
    assert loader.plan("coral").parts[0].key == StoreLoader(Catalogue(tiny_store), device).plan("coral").parts[0].key


def test_a_backend_that_cannot_compute_here_is_refused(tiny_store):
    device = open_device(DeviceConfig(name="cpu", precision="bf16"))
    with pytest.raises(RequestError, match="choose auto or torch"):
        StoreLoader(Catalogue(tiny_store), device, EngineConfig(t2s_backend="native"))


def able(monkeypatch, *, brain):
    monkeypatch.setattr("voxswap_server.engine.loader.processor", lambda: Processor(8, 2, halves=True, brain=brain))


def decoder_of(loader, voice_id):
    plan = loader.plan(voice_id)
    loaded = loader.load_part(plan.parts[1])
    assert loaded.size_bytes == plan.parts[1].size_bytes
    return plan.parts[1], loaded.value


def test_a_waveform_in_bfloat16_is_another_part_and_nearly_the_same(tiny_store, monkeypatch):
    able(monkeypatch, brain=True)
    device = open_device(DeviceConfig(name="cpu"))
    loader = StoreLoader(Catalogue(tiny_store), device, EngineConfig(bf16_voices=("amber",)))
    part, exact = decoder_of(StoreLoader(Catalogue(tiny_store), device), "amber")
    other, faster = decoder_of(loader, "amber")
    assert other.key == f"{part.key}+bf16"
    assert other.size_bytes < part.size_bytes
    assert decoder_of(loader, "coral")[0].key.endswith("+bf16") is False
    frames = torch.randn(1, exact.config.generator.in_width, 9)
    speaker = torch.randn(1, exact.config.style.out_width, 1)
    one, rounded = exact.generate(frames, speaker), faster.generate(frames, speaker)
    assert rounded.dtype == torch.float32
    assert 0 < (one - rounded).abs().max() < 0.05 * one.abs().max()
    assert torch.equal(exact.flow(frames, speaker), faster.flow(frames, speaker))


@pytest.mark.parametrize(
    ("voice_id", "brain", "precision", "message"),
    [
        ("amber", False, "fp32", "instructions for bfloat16"),
        ("amber", True, "bf16", "precision fp32"),
    ],
)
def test_bfloat16_is_refused_where_it_cannot_be(tiny_store, monkeypatch, voice_id, brain, precision, message):
    able(monkeypatch, brain=brain)
    device = open_device(DeviceConfig(name="cpu", precision=precision))
    loader = StoreLoader(Catalogue(tiny_store), device, EngineConfig(bf16_voices=(voice_id,)))
    with pytest.raises(RequestError, match=message):
        loader.plan(voice_id)


def test_bfloat16_is_refused_to_a_voice_whose_waveform_a_vocoder_makes(tiny_store, monkeypatch):
    able(monkeypatch, brain=True)
    monkeypatch.setattr("voxswap_server.engine.loader.spec_of", lambda _version: replace(spec_of("v3"), vocoder=None))
    device = open_device(DeviceConfig(name="cpu"))
    with pytest.raises(RequestError, match=r"cannot be one of engine\.bf16_voices"):
        StoreLoader(Catalogue(tiny_store), device, EngineConfig(bf16_voices=("amber",))).plan("amber")


def test_a_full_machine_gets_back_what_was_kept_for_later(tiny_store, monkeypatch):
    loader = StoreLoader(Catalogue(tiny_store), open_device(DeviceConfig(name="cpu")))
    loader._slots.blocks.take(LARGE_BYTES).fill_(1)
    assert loader._slots.blocks.spare_bytes == LARGE_BYTES

    def full(*_: object, **__: object):
        raise MemoryError

    monkeypatch.setattr("voxswap_server.engine.loader.read_weights", full)
    with pytest.raises(DeviceOutOfMemory):
        loader.load_part(loader.plan("amber").parts[0])
    assert loader._slots.blocks.spare_bytes == 0
