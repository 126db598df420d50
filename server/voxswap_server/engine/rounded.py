"""Rounded weights on disk: what was made of a file of the store once is read the next time.

One file for each file that was rounded, named by its sha256, so voices that share weights share it too. Whatever is
here can be made again: a file that is missing, torn, damaged or of other rounding is made anew, and those whose last
use is longest ago go when there are too many. Knows nothing of voices or of how weights are rounded.
"""

import os
import re
import secrets
import threading
import time
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any, Final, Protocol

import structlog
from torch import Tensor

from voxswap_store.blocks import Blocks
from voxswap_store.converted import Converted
from voxswap_store.safetensors_header import BadHeader
from voxswap_store.weights import Weights, damaged, load_weights, write_weights

FOLDER: Final = "rounded"
"""In a store."""
ROUNDING: Final = "int8-2"
"""Changes whenever weights would be rounded to other numbers, or laid out in another way."""
_FILE: Final = re.compile(r"[0-9a-f]{64}\.[a-z0-9-]+\.safetensors")
_ASIDE: Final = re.compile(r"\.[0-9a-f]{16}\.part")
_ABANDONED_S: Final = 3600.0
"""A file aside that is older than this belongs to nobody any more."""

_log = structlog.get_logger(__name__)


class Counter(Protocol):
    """Told how looking for a file went."""

    def found(self, *, hit: bool) -> None: ...
    def corrupt(self) -> None: ...
    def unavailable(self) -> None: ...


class Uncounted:
    """A `Counter` that keeps nothing."""

    def found(self, *, hit: bool) -> None:
        """As `Counter.found`."""

    def corrupt(self) -> None:
        """As `Counter.corrupt`."""

    def unavailable(self) -> None:
        """As `Counter.unavailable`."""


class RoundedFiles:
    """May be used from any thread and beside other processes. Nothing here raises: at worst nothing is kept.

    Args:
        directory: made when the first file is kept.
        max_bytes: of all files together; 0 keeps none.
        counter: of look-ups.
    """

    def __init__(self, directory: Path, max_bytes: int, counter: Counter) -> None:
        self._directory = directory
        self._max_bytes = max_bytes
        self._counter = counter
        self._lock = threading.Lock()
        self._intact: dict[str, tuple[int, ...]] = {}
        """Files whose every byte was compared with its digest, as they were then."""

    def read(self, sha256: str, blocks: Blocks) -> Weights | None:
        """What was made of the file with this address; None where it has to be made.

        Args:
            sha256: of the file that was rounded.
            blocks: where memory comes from.
        """
        if not self._max_bytes:
            return None
        path = self._path(sha256)
        try:
            weights = self._read(path, blocks)
        except FileNotFoundError:
            self._counter.found(hit=False)
            return None
        except (BadHeader, ValueError) as error:
            self._counter.corrupt()
            _log.warning("rounded_weights_damaged", file=path.name, problem=str(error))
            return None
        except OSError as error:
            self._counter.unavailable()
            _log.warning("rounded_weights_unreadable", file=path.name, problem=error.strerror)
            return None
        self._counter.found(hit=True)
        return weights

    def keep(self, sha256: str, config: Mapping[str, Any], tensors: Mapping[str, Tensor]) -> None:
        """Writes what was made, unless there is no room for it.

        Args:
            sha256: of the file that was rounded.
            config: of the network, as the file has it.
            tensors: rounded.
        """
        size_bytes = sum(tensor.nbytes for tensor in tensors.values())
        if size_bytes > self._max_bytes:
            return
        try:
            with self._lock:
                self._directory.mkdir(parents=True, exist_ok=True)
                self._make_room(size_bytes)
                self._write(self._path(sha256), Converted(dict(tensors), dict(config)))
        except OSError as error:  # full, or for reading only: the next load rounds again
            _log.warning("rounded_weights_not_kept", problem=error.strerror)

    def _read(self, path: Path, blocks: Blocks) -> Weights:
        seen = _identity(path)
        weights = load_weights(path, blocks=blocks)
        if self._intact.get(path.name) != seen and (names := damaged(weights)):
            raise BadHeader(f"{names[0]} and {len(names) - 1} more tensors are not what was written")
        with suppress(OSError):  # who may only read uses what others keep fresh
            os.utime(path)
            seen = _identity(path)
        self._intact[path.name] = seen
        return weights

    def _path(self, sha256: str) -> Path:
        return self._directory / f"{sha256}.{ROUNDING}.safetensors"

    def _write(self, path: Path, made: Converted) -> None:
        aside = self._directory / f".{secrets.token_hex(8)}.part"
        try:
            with aside.open("xb") as file:
                write_weights(file, made)
            aside.replace(path)
        finally:
            aside.unlink(missing_ok=True)

    def _make_room(self, needed_bytes: int) -> None:
        """Removes what was used longest ago, until so much fits beside the rest; and what writers left that died."""
        files = []
        for path in self._directory.iterdir():
            with suppress(FileNotFoundError):  # another process may be quicker
                status = path.stat()
                if _FILE.fullmatch(path.name):
                    files.append((status.st_mtime_ns, status.st_size, path))
                elif _ASIDE.fullmatch(path.name) and time.time() - status.st_mtime > _ABANDONED_S:
                    path.unlink()
        used_bytes = sum(size for _, size, _ in files)
        for _, size, path in sorted(files):
            if used_bytes + needed_bytes <= self._max_bytes:
                break
            path.unlink(missing_ok=True)
            used_bytes -= size


def _identity(path: Path) -> tuple[int, ...]:
    status = path.stat()
    return status.st_dev, status.st_ino, status.st_size, status.st_mtime_ns
