"""Files that are there whole or not at all."""

import hashlib
import os
import threading
from pathlib import Path

import pytest

from voxswap_store import files
from voxswap_store.files import Staging, clear_abandoned, exclusive, hash_file, remove_directory, replace_file


def names(path):
    return sorted(entry.name for entry in path.iterdir())


def test_a_published_folder_is_whole(tmp_path):
    with Staging(tmp_path) as staging:
        stored = staging.write("a.bin", lambda sink: (sink.write(b"abc"), sink.write(memoryview(b"def"))))
        assert not (tmp_path / "things").exists()
        staging.publish(tmp_path / "things" / "one")
    assert (tmp_path / "things" / "one" / "a.bin").read_bytes() == b"abcdef"
    assert (stored.sha256, stored.bytes) == (hashlib.sha256(b"abcdef").hexdigest(), 6)
    assert names(tmp_path / ".staging") == []


def test_what_is_not_published_goes(tmp_path):
    def failing(sink):
        sink.write(b"half")
        raise RuntimeError

    with pytest.raises(RuntimeError), Staging(tmp_path) as staging:
        staging.write("a.bin", failing)
    assert names(tmp_path / ".staging") == []


def test_nothing_is_published_over_something(tmp_path):
    (tmp_path / "one").mkdir()
    (tmp_path / "one" / "old").touch()
    with Staging(tmp_path) as staging, pytest.raises(FileExistsError):
        staging.publish(tmp_path / "one")
    assert names(tmp_path / "one") == ["old"]


def test_a_file_is_on_the_disk_before_its_folder_is_seen(tmp_path, monkeypatch):
    order = []
    real_fsync = os.fsync
    monkeypatch.setattr(files.os, "fsync", lambda fd: (order.append("sync"), real_fsync(fd))[1])
    real_rename = Path.rename
    monkeypatch.setattr(Path, "rename", lambda self, to: (order.append("rename"), real_rename(self, to))[1])
    with Staging(tmp_path) as staging:
        staging.write("a.bin", lambda sink: sink.write(b"a"))
        staging.publish(tmp_path / "one")
    assert order == ["sync", "sync", "rename", "sync"]


def test_a_replaced_file_is_the_old_or_the_new_one(tmp_path, monkeypatch):
    path = tmp_path / "voice.toml"
    replace_file(path, b"old")
    monkeypatch.setattr(files.os, "fsync", lambda fd: (_ for _ in ()).throw(OSError(28, "No space left on device")))
    with pytest.raises(OSError, match="No space"):
        replace_file(path, b"new")
    assert path.read_bytes() == b"old"
    assert names(tmp_path) == ["voice.toml"]


def test_a_removed_folder_is_gone(tmp_path):
    (tmp_path / "voices" / "one").mkdir(parents=True)
    remove_directory(tmp_path, tmp_path / "voices" / "one")
    assert names(tmp_path / "voices") == []
    assert names(tmp_path / ".staging") == []
    with pytest.raises(FileNotFoundError):
        remove_directory(tmp_path, tmp_path / "voices" / "one")


def test_what_the_dead_left_is_cleared_and_what_the_living_write_is_not(tmp_path):
    (tmp_path / ".staging" / "abandoned").mkdir(parents=True)
    (tmp_path / ".staging" / "abandoned" / "half.bin").touch()
    with Staging(tmp_path) as living:
        assert clear_abandoned(tmp_path) == 1
        assert names(tmp_path / ".staging") == [living.path.name]
    assert clear_abandoned(tmp_path / "nowhere") == 0


def test_a_link_among_the_abandoned_leads_nowhere(tmp_path):
    outside = tmp_path / "outside"
    outside.mkdir()
    (tmp_path / ".staging").mkdir()
    (tmp_path / ".staging" / "link").symlink_to(outside)
    assert clear_abandoned(tmp_path) == 0
    assert outside.exists()


def test_only_one_at_a_time_is_inside(tmp_path):
    inside, entered = [], threading.Barrier(4)

    def work():
        entered.wait()
        for _ in range(25):
            with exclusive(tmp_path):
                inside.append(1)
                assert len(inside) == 1
                inside.pop()

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()


def test_hashing_reads_everything(tmp_path):
    data = os.urandom(3_000_000)
    (tmp_path / "a").write_bytes(data)
    assert hash_file(tmp_path / "a") == (hashlib.sha256(data).hexdigest(), len(data))
