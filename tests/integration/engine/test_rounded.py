"""Rounded weights in the store: read instead of rounded again, to the bit; made anew when they cannot be trusted."""

import os
import shutil

import pytest
import torch
from structlog.testing import capture_logs

from voxswap_server.engine.backends import EngineConfig
from voxswap_server.engine.device import DeviceConfig, open_device
from voxswap_server.engine.loader import StoreLoader
from voxswap_server.engine.rounded import RoundedFiles
from voxswap_store.blocks import Blocks
from voxswap_store.catalogue import Catalogue


class Counted:
    def __init__(self):
        self.told = []

    def found(self, *, hit):
        self.told.append("hit" if hit else "miss")

    def corrupt(self):
        self.told.append("corrupt")

    def unavailable(self):
        self.told.append("unavailable")


@pytest.fixture
def counted():
    return Counted()


@pytest.fixture(autouse=True)
def folder(tiny_store):
    """Of the store that all tests share, so each begins and ends without it."""
    path = tiny_store / "rounded"
    _remove(path)
    yield path
    _remove(path)


def _remove(path):
    if path.is_dir():
        shutil.rmtree(path)
    path.unlink(missing_ok=True)


def loaded(store, counted, voice_id="amber", **config):
    """The T2S part of a voice in 8 bits, through a loader of its own."""
    settings = EngineConfig(int8_voices=("amber", "slate", "coral"), **config)
    loader = StoreLoader(Catalogue(store), open_device(DeviceConfig(name="cpu")), settings, counted)
    plan = loader.plan(voice_id).parts[0]
    part = loader.load_part(plan)
    assert part.size_bytes == plan.size_bytes
    return part.value


def equal(one, other):
    assert one.tensors.keys() == other.tensors.keys()
    return all(
        tensor.dtype == other.tensors[name].dtype and torch.equal(tensor, other.tensors[name])
        for name, tensor in one.tensors.items()
    )


def test_what_was_rounded_once_is_read_to_the_bit(tiny_store, folder, counted, monkeypatch):
    made = loaded(tiny_store, counted)
    (file,) = folder.iterdir()
    monkeypatch.setattr("voxswap_server.nn.t2s_native.quantized", lambda _matrix: pytest.fail("it was rounded again"))
    read = loaded(tiny_store, counted)
    assert counted.told == ["miss", "hit"]
    assert equal(made, read)
    assert file.stat().st_size < 0.8 * Catalogue(tiny_store).get("amber").manifest.files.t2s.bytes
    assert len({tensor.untyped_storage().data_ptr() for tensor in read.tensors.values()}) == 1, "one block, one read"


@pytest.mark.parametrize("harm", ["one bit", "torn", "empty", "another network"])
def test_a_damaged_file_is_made_anew(tiny_store, folder, counted, harm):
    made = loaded(tiny_store, counted)
    (file,) = folder.iterdir()
    data = bytearray(file.read_bytes())
    if harm == "another network":
        loaded(tiny_store, Counted(), "slate")
        (other,) = set(folder.iterdir()) - {file}
        data = bytearray(other.read_bytes())
        data[: len(data) // 2] = data[len(data) // 2 :][: len(data) // 2]
    elif harm == "one bit":
        data[-5] ^= 1
    file.write_bytes(data[: {"torn": len(data) // 2, "empty": 0}.get(harm, len(data))])
    with capture_logs() as logs:
        again = loaded(tiny_store, counted)
    assert counted.told == ["miss", "corrupt"]
    assert [log["event"] for log in logs] == ["rounded_weights_damaged"]
    assert equal(made, again)
    loaded(tiny_store, counted)
    assert counted.told[-1] == "hit"


def test_every_byte_is_compared_once_for_as_long_as_the_file_does_not_change(tiny_store, folder, counted, monkeypatch):
    loaded(tiny_store, counted)
    (file,) = folder.iterdir()
    looked = []
    monkeypatch.setattr("voxswap_server.engine.rounded.damaged", lambda weights: looked.append(weights) or [])
    files = RoundedFiles(folder, 2**30, counted)
    address = file.name.partition(".")[0]
    for _ in range(3):
        assert files.read(address, Blocks()) is not None
    assert len(looked) == 1
    os.utime(file, ns=(1, 1))
    files.read(address, Blocks())
    assert len(looked) == 2


def test_those_used_longest_ago_go_when_there_are_too_many(tiny_store, folder, counted):
    loaded(tiny_store, counted)
    (first,) = folder.iterdir()
    size_bytes = first.stat().st_size
    loaded(tiny_store, counted, "slate")
    (second,) = set(folder.iterdir()) - {first}
    os.utime(second, ns=(1, 1))
    (folder / "notes.txt").write_text("not ours")
    loaded(tiny_store, counted, "coral", rounded_bytes=int(2.5 * size_bytes))
    left = set(folder.iterdir())
    assert first in left
    assert second not in left
    assert len(left) == 3, "the new one too, and what is not ours stays"


def test_without_room_nothing_is_kept(tiny_store, folder, counted):
    loaded(tiny_store, counted, rounded_bytes=0)
    loaded(tiny_store, counted, rounded_bytes=1000)
    assert not folder.exists() or not list(folder.iterdir())
    assert counted.told == ["miss"]


def test_a_store_that_cannot_be_written_costs_only_time(tiny_store, folder, counted):
    folder.write_text("a file where the folder would be")
    with capture_logs() as logs:
        one = loaded(tiny_store, counted)
        other = loaded(tiny_store, counted)
    assert equal(one, other)
    assert counted.told == ["unavailable", "unavailable"]
    assert {log["event"] for log in logs} == {"rounded_weights_unreadable", "rounded_weights_not_kept"}


def test_what_a_writer_left_that_died_is_removed(tiny_store, folder, counted):
    folder.mkdir()
    old, young = folder / f".{'a' * 16}.part", folder / f".{'b' * 16}.part"
    for part in (old, young):
        part.write_bytes(b"half")
    os.utime(old, (1, 1))
    loaded(tiny_store, counted)
    assert not old.exists()
    assert young.exists(), "somebody may be writing it"


def test_an_exact_voice_has_no_such_file(tiny_store, folder):
    loader = StoreLoader(Catalogue(tiny_store), open_device(DeviceConfig(name="cpu")))
    loader.load_part(loader.plan("amber").parts[0])
    assert not folder.exists()
