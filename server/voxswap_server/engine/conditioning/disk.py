"""The store on disk: one file an entry, bounded by bytes, shared by as many processes as like.

Knows nothing of what the entries hold: a file that a crash left torn is found by whoever reads it. Readers take no
lock. Writers take turns by a lock on a file, count what they add in another one, and remove the entries whose last use
is longest ago (by the time of the file, which each use renews) when the count is over the limit. Only files that are
named like ours are ever counted or removed.
"""

import fcntl
import os
import re
import secrets
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Final

from voxswap_server.engine.conditioning.entry import MAX_ENTRY_BYTES
from voxswap_server.engine.conditioning.keys import Key

_ENTRY: Final = re.compile(r"[a-z_]+-[0-9a-f]{64}\.safetensors")
_ASIDE: Final = re.compile(r"\.[0-9a-f]{16}\.part")
_ABANDONED_S: Final = 3600.0
"""A file aside that is older than this belongs to nobody any more."""
_ROOM_LEFT: Final = 0.9
"""Eviction goes down to this share of the limit, so that not every write evicts."""
_TURN_S: Final = 2.0
"""How long a writer waits for its turn before it goes without."""
_POLL_S: Final = 0.01


class Disk:
    """Implements `contract.Store`.

    Args:
        directory: made if it is not there, for this user alone: what it holds can be taken for a person's voice.
        max_bytes: of all entries of all processes together.
    """

    name = "disk"

    def __init__(self, directory: Path, max_bytes: int) -> None:
        self._directory = directory
        self._max_bytes = max_bytes
        self._counted = False
        """Whether this process has seen for itself what is there."""

    def get(self, key: Key) -> bytes | None:
        path = self._path(key)
        try:
            with path.open("rb") as file:
                data = file.read(MAX_ENTRY_BYTES + 1)  # one byte too many fails its checksum
        except FileNotFoundError:
            return None
        with suppress(OSError):  # who may only read uses what others keep fresh
            os.utime(path)
        return data

    def put(self, key: Key, data: bytes) -> None:
        """Writes an entry, unless it is too large or another writer does not finish.

        Raises:
            OSError: the disk is full, or may not be written.
        """
        if len(data) > min(self._max_bytes, MAX_ENTRY_BYTES):
            return
        path = self._path(key)
        self._directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        with self._turn() as mine:
            if mine:
                path.parent.mkdir(mode=0o700, exist_ok=True)
                # Before the file: a crash in between counts too much, never too little.
                self._count(self._make_room(len(data) - _size_of(path)))
                self._write(path, data)

    def discard(self, key: Key) -> None:
        self._path(key).unlink(missing_ok=True)

    def probe(self, *, writing: bool) -> None:
        if writing:
            self._directory.mkdir(mode=0o700, parents=True, exist_ok=True)
            probe = self._directory / ".probe"
            self._write(probe, bytes(4096))
            probe.unlink(missing_ok=True)  # another process may have been quicker
        elif self._directory.exists():
            list(self._directory.iterdir())

    def close(self) -> None:
        """Nothing is held."""

    def _path(self, key: Key) -> Path:
        return self._directory / key.digest[:2] / f"{key.name}.safetensors"

    def _write(self, path: Path, data: bytes) -> None:
        aside = self._directory / f".{secrets.token_hex(8)}.part"
        try:
            with os.fdopen(os.open(aside, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
                file.write(data)
            aside.replace(path)
        finally:
            aside.unlink(missing_ok=True)

    # --- under the lock ----------------------------------------------------------------------------------------

    @contextmanager
    def _turn(self) -> Iterator[bool]:
        """Whether it is this writer's turn; False where it did not come in time."""
        lock = os.open(self._directory / ".lock", os.O_RDWR | os.O_CREAT, 0o600)
        try:
            yield _taken(lock)
        finally:
            os.close(lock)

    def _make_room(self, needed_bytes: int) -> int:
        """Evicts what has to go for so many bytes more; returns what will be used with them."""
        used_bytes = self._known_bytes()
        if used_bytes is None or used_bytes + needed_bytes > self._max_bytes:
            used_bytes = self._evict(needed_bytes)
        return used_bytes + needed_bytes

    def _evict(self, needed_bytes: int) -> int:
        """Looks at every file; returns what is left."""
        entries = []
        for file in self._files():
            with suppress(FileNotFoundError):
                status = file.stat()
                if _ENTRY.fullmatch(file.name):
                    entries.append((status.st_mtime_ns, status.st_size, file))
                elif time.time() - status.st_mtime > _ABANDONED_S:
                    file.unlink()
        used_bytes = sum(size for _, size, _ in entries)
        self._counted = True
        if used_bytes + needed_bytes <= self._max_bytes:
            return used_bytes
        for _, size, file in sorted(entries):
            if used_bytes + needed_bytes <= self._max_bytes * _ROOM_LEFT or not used_bytes:
                break
            file.unlink(missing_ok=True)
            used_bytes -= size
        return used_bytes

    def _files(self) -> Iterator[Path]:
        """Entries, and what was left aside."""
        for inner in self._directory.iterdir():
            if _ASIDE.fullmatch(inner.name):
                yield inner
            elif re.fullmatch("[0-9a-f]{2}", inner.name) and inner.is_dir():
                yield from (file for file in inner.iterdir() if _ENTRY.fullmatch(file.name))

    def _known_bytes(self) -> int | None:
        """What all writers have counted; None where that has to be found out."""
        if not self._counted:
            return None
        try:
            return int((self._directory / ".used").read_text("ascii"))
        except (FileNotFoundError, ValueError):
            return None

    def _count(self, used_bytes: int) -> None:
        self._write(self._directory / ".used", str(used_bytes).encode())


def _taken(lock: int) -> bool:
    give_up_s = time.monotonic() + _TURN_S
    while True:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            if time.monotonic() >= give_up_s:
                return False
            time.sleep(_POLL_S)
        else:
            return True


def _size_of(path: Path) -> int:
    try:
        return path.stat().st_size
    except FileNotFoundError:
        return 0
