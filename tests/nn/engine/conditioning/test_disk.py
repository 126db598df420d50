"""The store on disk: whole or not at all, bounded by bytes, shared by processes, and careful with what is not its own."""

import fcntl
import multiprocessing
import os
import time
from pathlib import Path

import pytest

from tests.fixtures.cache_layers import key
from voxswap_server.engine.conditioning import disk as disk_module
from voxswap_server.engine.conditioning.disk import Disk
from voxswap_server.engine.conditioning.entry import MAX_ENTRY_BYTES

ENTRY = bytes(1000)


@pytest.fixture
def place(tmp_path: Path) -> Path:
    return tmp_path / "some" / "cache"


def entries(place: Path) -> list[Path]:
    return sorted(place.glob("??/*.safetensors"))


def used(place: Path) -> int:
    return sum(file.stat().st_size for file in entries(place))


def age(disk: Disk, number: int, seconds: float) -> None:
    """Makes an entry look as if it was used so long ago."""
    then_s = time.time() - seconds
    os.utime(disk._path(key(number)), (then_s, then_s))


def test_what_is_written_is_found_by_every_process(place: Path) -> None:
    assert Disk(place, 10_000).get(key()) is None
    Disk(place, 10_000).put(key(), ENTRY)
    assert Disk(place, 10_000).get(key()) == ENTRY


def test_looking_makes_nothing(place: Path) -> None:
    disk = Disk(place, 10_000)
    assert disk.get(key()) is None
    disk.discard(key())
    disk.probe(writing=False)
    assert not place.exists()


def test_nobody_else_may_read_it(place: Path) -> None:
    disk = Disk(place, 10_000)
    disk.put(key(), ENTRY)
    assert place.stat().st_mode & 0o077 == 0
    assert entries(place)[0].stat().st_mode & 0o077 == 0


def test_an_entry_is_replaced_and_counted_once(place: Path) -> None:
    disk = Disk(place, 10_000)
    for size in (1000, 3000, 500):
        disk.put(key(), bytes(size))
    assert disk.get(key()) == bytes(500)
    assert (place / ".used").read_text() == "500"


def test_a_discarded_entry_is_gone(place: Path) -> None:
    disk = Disk(place, 10_000)
    disk.put(key(), ENTRY)
    disk.discard(key())
    disk.discard(key())
    assert disk.get(key()) is None


def test_those_used_longest_ago_go_first_and_a_use_counts(place: Path) -> None:
    disk = Disk(place, 5000)
    for number in range(5):
        disk.put(key(number), ENTRY)
        age(disk, number, 1000 - number)
    assert disk.get(key(0)) == ENTRY  # now it is the freshest
    disk.put(key(5), ENTRY)
    left = [number for number in range(6) if disk.get(key(number)) is not None]
    assert left == [0, 3, 4, 5]  # down to nine tenths: two went for one
    assert used(place) == 4000


def test_it_never_holds_more_than_its_bytes(place: Path) -> None:
    disk = Disk(place, 5000)
    for number in range(60):
        disk.put(key(number), bytes(100 + 37 * number % 900))
        assert used(place) <= 5000
    assert int((place / ".used").read_text()) == used(place)


@pytest.mark.parametrize("size", [5001, MAX_ENTRY_BYTES + 1])
def test_what_is_larger_than_it_may_be_is_not_written(place: Path, size: int) -> None:
    disk = Disk(place, 5000 if size == 5001 else 10**12)
    disk.put(key(), bytes(size))
    assert not entries(place)


def test_of_a_huge_foreign_file_only_so_much_is_read(place: Path) -> None:
    disk = Disk(place, 10**12)
    disk.put(key(), ENTRY)
    os.truncate(entries(place)[0], 10 * MAX_ENTRY_BYTES)  # a hole: it takes no room
    assert len(disk.get(key()) or b"") == MAX_ENTRY_BYTES + 1


@pytest.mark.parametrize("count", ["", "many", "-", None])
def test_a_lost_count_is_found_again(place: Path, count: str | None) -> None:
    disk = Disk(place, 10_000)
    disk.put(key(0), ENTRY)
    if count is None:
        (place / ".used").unlink()
    else:
        (place / ".used").write_text(count)
    disk.put(key(1), ENTRY)
    assert (place / ".used").read_text() == "2000"


def test_what_was_there_before_this_process_counts(place: Path) -> None:
    Disk(place, 5000).put(key(0), bytes(4000))
    (place / ".used").write_text("0")  # a crash, or another release, left it wrong
    Disk(place, 5000).put(key(1), bytes(4000))
    assert used(place) == 4000


def test_foreign_files_are_neither_counted_nor_removed(place: Path) -> None:
    disk = Disk(place, 1500)
    (place / "ab").mkdir(parents=True)
    foreign = [place / "holiday.jpg", place / "ab" / "notes.safetensors", place / ".hidden"]
    for file in foreign:
        file.write_bytes(bytes(4000))
    for number in range(3):
        disk.put(key(number), ENTRY)
    assert [file.stat().st_size for file in foreign] == [4000] * 3
    assert used(place) == 4000 + 1000  # the foreign one ends like ours


def test_what_a_crash_left_aside_goes_when_it_is_old(place: Path) -> None:
    disk = Disk(place, 10_000)
    disk.put(key(0), ENTRY)
    old, young = place / ".0123456789abcdef.part", place / ".fedcba9876543210.part"
    for file, seconds in ((old, 7200), (young, 60)):
        file.write_bytes(ENTRY)
        os.utime(file, (time.time() - seconds,) * 2)
    Disk(place, 10_000).put(key(1), ENTRY)  # a new process looks at everything once
    assert (old.exists(), young.exists()) == (False, True)


def test_a_write_that_fails_leaves_nothing(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    disk = Disk(place, 10_000)
    disk.put(key(0), ENTRY)
    replace = Path.replace

    def full(self: Path, target: Path) -> Path:
        if target.suffix == ".safetensors":
            raise OSError(28, "No space left on device")
        return replace(self, target)

    monkeypatch.setattr(Path, "replace", full)
    with pytest.raises(OSError, match="No space"):
        disk.put(key(1), ENTRY)
    assert disk.get(key(1)) is None
    assert not list(place.glob("*.part"))


def test_a_writer_that_hangs_keeps_nobody_from_reading(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    disk = Disk(place, 10_000)
    disk.put(key(0), ENTRY)
    monkeypatch.setattr(disk_module, "_TURN_S", 0.0)
    with (place / ".lock").open("wb") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        disk.put(key(1), ENTRY)  # it goes without
        assert disk.get(key(0)) == ENTRY
        assert disk.get(key(1)) is None
    disk.put(key(1), ENTRY)
    assert disk.get(key(1)) == ENTRY


def test_a_probe_says_what_is_wrong_and_leaves_nothing(place: Path, tmp_path: Path) -> None:
    disk = Disk(place, 10_000)
    disk.probe(writing=True)
    disk.probe(writing=False)
    assert list(place.iterdir()) == []
    (tmp_path / "file").write_text("")
    with pytest.raises(OSError):
        Disk(tmp_path / "file" / "cache", 10_000).probe(writing=True)


def _write_much(place: Path, mine: int) -> None:
    disk = Disk(place, 20_000)
    for number in range(60):
        disk.put(key(number % 25), bytes([number % 25]) * 1000)
        other = (number + mine) % 25
        found = disk.get(key(other))
        assert found is None or found == bytes([other]) * 1000


def test_processes_that_share_it_keep_its_limit_and_never_see_half_a_file(place: Path) -> None:
    place.mkdir(parents=True)
    forked = multiprocessing.get_context("fork")  # a new interpreter would spend its time on importing torch
    writers = [forked.Process(target=_write_much, args=(place, mine)) for mine in (3, 11)]
    for writer in writers:
        writer.start()
    with (place / ".lock").open("ab") as lock:
        while any(writer.is_alive() for writer in writers):
            fcntl.flock(lock, fcntl.LOCK_EX)  # between two writes what is seen is what there is
            assert used(place) <= 20_000
            fcntl.flock(lock, fcntl.LOCK_UN)
            writers[0].join(timeout=0.05)  # lets them have their turns
    assert [writer.exitcode for writer in writers] == [0, 0]
    assert 15_000 < used(place) <= 20_000
    assert int((place / ".used").read_text()) == used(place)
