"""Files that are there whole or not at all.

Knows nothing of voices. What is written lies aside until it is complete and on the disk; one rename makes it visible.
Whoever dies in between leaves a folder that its next visitor can tell by its free lock, and removes.
"""

import fcntl
import hashlib
import os
import secrets
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from types import TracebackType
from typing import BinaryIO, Final, Protocol, Self

from voxswap_store.manifest import StoredFile

_ASIDE: Final = ".staging"
_BLOCK_BYTES: Final = 1 << 20


class Sink(Protocol):
    """What a writer needs of a file."""

    def write(self, data: bytes | memoryview, /) -> object: ...


class _Hashing:
    """Counts and hashes what goes into a file."""

    def __init__(self, file: BinaryIO) -> None:
        self._file = file
        self._digest = hashlib.sha256()
        self.count = 0

    def write(self, data: bytes | memoryview, /) -> None:
        view = memoryview(data).cast("B")
        self._digest.update(view)
        self.count += len(view)
        self._file.write(view)

    @property
    def sha256(self) -> str:
        return self._digest.hexdigest()


class Staging:
    """A folder aside in which a new thing of the store is written.

    Used with `with`: what was not published when the block ends is gone.
    """

    def __init__(self, root: Path) -> None:
        aside = root / _ASIDE
        aside.mkdir(parents=True, exist_ok=True)
        while True:
            self.path = aside / secrets.token_hex(8)
            self.path.mkdir()
            self._lock = os.open(self.path, os.O_RDONLY | os.O_DIRECTORY)
            fcntl.flock(self._lock, fcntl.LOCK_EX)
            if self.path.exists():
                return
            os.close(self._lock)  # a visitor took it for abandoned before the lock was on it

    def write(self, name: str, fill: Callable[[Sink], object]) -> StoredFile:
        """Writes one file and hashes it on the way.

        Args:
            name: of the file in the folder.
            fill: writes the content to the open file it is given.
        """
        with (self.path / name).open("xb") as file:
            hashing = _Hashing(file)
            fill(hashing)
            file.flush()
            os.fsync(file.fileno())
        return StoredFile(name=name, sha256=hashing.sha256, bytes=hashing.count)

    def publish(self, target: Path) -> None:
        """Moves the whole folder to its place.

        Raises:
            FileExistsError: something is there already.
        """
        sync_directory(self.path)
        target.parent.mkdir(parents=True, exist_ok=True)
        try:
            self.path.rename(target)
        except OSError as error:
            if target.exists():
                raise FileExistsError(target) from error
            raise
        sync_directory(target.parent)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        shutil.rmtree(self.path, ignore_errors=True)  # after a publish there is nothing left to remove
        os.close(self._lock)


def replace_file(path: Path, data: bytes) -> None:
    """Puts a file in place of another; a reader sees the old one or the new one."""
    aside = path.with_name(f".{path.name}.{secrets.token_hex(4)}")
    try:
        with aside.open("xb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        aside.replace(path)
    finally:
        aside.unlink(missing_ok=True)
    sync_directory(path.parent)


def remove_directory(root: Path, path: Path) -> None:
    """Takes a folder out of sight at once, then removes it.

    Raises:
        FileNotFoundError: it is not there.
    """
    with Staging(root) as aside:
        path.rename(aside.path / path.name)
        sync_directory(path.parent)


def clear_abandoned(root: Path) -> int:
    """Removes what writers left that died; counts the folders."""
    cleared = 0
    for path in (root / _ASIDE).glob("*"):
        with suppress(OSError):  # it is being written, or another visitor removes it: both are well
            lock = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW)
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                shutil.rmtree(path)
                cleared += 1
            finally:
                os.close(lock)
    return cleared


@contextmanager
def exclusive(root: Path) -> Iterator[None]:
    """Only one process and one thread at a time changes what is published."""
    root.mkdir(parents=True, exist_ok=True)
    lock = os.open(root / ".lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield
    finally:
        os.close(lock)


def hash_file(path: Path) -> tuple[str, int]:
    """(sha256, bytes) of a file."""
    digest, count = hashlib.sha256(), 0
    with path.open("rb") as file:
        while block := file.read(_BLOCK_BYTES):
            digest.update(block)
            count += len(block)
    return digest.hexdigest(), count


def sync_directory(path: Path) -> None:
    """A rename is on the disk only when its folder is."""
    descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
