"""Voices that are read into the memory of others: what they say is what a fresh engine says, whatever went wrong."""

import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
import torch

from tests.fixtures.engines import asking, engine_over, hear
from voxswap_server.engine.backends import EngineConfig
from voxswap_server.engine.device import DeviceConfig, open_device
from voxswap_server.engine.loader import StoreLoader
from voxswap_server.errors import VoiceUnusable
from voxswap_server.nn.native.compiler import Processor
from voxswap_store import memory_layout
from voxswap_store.catalogue import Catalogue

TEXT = "Good morning to all of you."
HALVES = (0, 1)
"""Parts of a voice: T2S and decoder."""


def loader_over(store: Path, **config) -> StoreLoader:
    return StoreLoader(Catalogue(store), open_device(DeviceConfig(name="cpu")), EngineConfig(**config))


def loaded(loader, voice_id, half):
    return loader.load_part(loader.plan(voice_id).parts[half])


def numbers(value):
    tensors = value.state_dict() if isinstance(value, torch.nn.Module) else value.tensors
    return {name: tensor.clone() for name, tensor in tensors.items()}


def place(value):
    tensors = value.state_dict() if isinstance(value, torch.nn.Module) else value.tensors
    return next(iter(tensors.values())).untyped_storage().data_ptr()


def require_equal(one, other):
    assert one.keys() == other.keys()
    assert all(torch.equal(tensor, other[name]) for name, tensor in one.items())


@pytest.mark.parametrize("half", HALVES)
@pytest.mark.parametrize("backend", ["native", "torch"])
def test_a_voice_takes_the_place_of_another_of_its_shape(tiny_store, half, backend):
    loader, fresh = loader_over(tiny_store, t2s_backend=backend), loader_over(tiny_store, t2s_backend=backend)
    wanted = {voice: numbers(loaded(fresh, voice, half).value) for voice in ("amber", "slate")}
    assert any(not torch.equal(tensor, wanted["slate"][name]) for name, tensor in wanted["amber"].items())
    part, places = loaded(loader, "amber", half), set()
    for voice in ("slate", "amber", "slate"):
        places.add(place(part.value))
        loader.release(part)
        part = loaded(loader, voice, half)
        require_equal(numbers(part.value), wanted[voice])
        assert part.size_bytes == loader.plan(voice).parts[half].size_bytes
    assert len(places | {place(part.value)}) == 1


def test_a_faster_decoder_does_so_too_but_never_in_the_place_of_an_exact_one(tiny_store, monkeypatch):
    monkeypatch.setattr("voxswap_server.engine.loader.processor", lambda: Processor(8, 2, halves=True, brain=True))
    loader = loader_over(tiny_store, bf16_voices=("amber",))
    exact = loaded(loader, "slate", 1)
    wanted, slot = numbers(exact.value), place(exact.value)
    loader.release(exact)
    faster = loaded(loader, "amber", 1)
    assert place(faster.value) != slot
    assert faster.value.generator.post.weight.dtype == torch.bfloat16
    rounded, other = numbers(faster.value), place(faster.value)
    loader.release(faster)
    faster = loaded(loader, "amber", 1)
    assert place(faster.value) == other
    require_equal(numbers(faster.value), rounded)
    exact = loaded(loader, "slate", 1)
    assert place(exact.value) == slot
    require_equal(numbers(exact.value), wanted)


def test_voices_of_other_shapes_never_share_a_place(tiny_store):
    loader = loader_over(tiny_store)
    places = set()
    for voice in ("amber", "coral", "onyx"):
        part = loaded(loader, voice, 1)
        places.add(place(part.value))
        loader.release(part)
    assert len(places) == 3


@pytest.mark.parametrize("half", HALVES)
def test_two_at_once_have_places_of_their_own(tiny_store, half):
    loader, fresh = loader_over(tiny_store), loader_over(tiny_store)
    wanted = {voice: numbers(loaded(fresh, voice, half).value) for voice in ("amber", "slate")}
    loader.release(loaded(loader, "amber", half))
    together = threading.Barrier(2)

    def load(voice):
        part = loader.plan(voice).parts[half]
        together.wait(timeout=60)
        return loader.load_part(part)

    with ThreadPoolExecutor(2) as threads:
        for _ in range(4):
            parts = list(threads.map(load, ("amber", "slate")))
            assert place(parts[0].value) != place(parts[1].value)
            for voice, part in zip(("amber", "slate"), parts, strict=True):
                require_equal(numbers(part.value), wanted[voice])
            for part in parts:
                loader.release(part)
            del parts, part


@pytest.mark.parametrize("half", HALVES)
@pytest.mark.parametrize("survived", [0, 1])
def test_a_load_that_fails_in_the_middle_leaves_no_half_voice(tiny_store, monkeypatch, half, survived):
    loader = loader_over(tiny_store)
    part = loaded(loader, "amber", half)
    wanted, read, reads = numbers(part.value), memory_layout._read, []
    loader.release(part)

    def failing(file, rooms):
        reads.append(len(rooms))
        if len(reads) > survived:
            raise OSError(5, "Input/output error")
        read(file, rooms)

    with monkeypatch.context() as broken:
        broken.setattr(memory_layout, "_BUFFER_BYTES", 512)
        broken.setattr(memory_layout, "_read", failing)
        with pytest.raises(VoiceUnusable, match="Input/output error"):
            loaded(loader, "slate", half)
    assert len(reads) == survived + 1
    part = loaded(loader, "amber", half)
    require_equal(numbers(part.value), wanted)


async def test_a_voice_that_comes_back_says_what_it_said(tiny_store: Path):
    """In turn, each in the memory of the one before; a fresh engine says the same."""

    async def turn(order):
        async with engine_over(tiny_store) as (engine, _):
            said = []
            for voice in order:
                heard = await hear(engine.synthesizer, asking(voice, TEXT))
                said.append((voice, heard.done.semantic_tokens, heard.data))
                await engine.residency.unload_voice(voice, wait=True)
            return said

    fresh = {voice: said for voice in ("amber", "slate", "coral") for _, *said in await turn([voice])}
    assert fresh["amber"][1] != fresh["slate"][1]
    for voice, *said in await turn(["amber", "slate", "amber", "coral", "slate", "amber"]):
        assert said == fresh[voice], voice
