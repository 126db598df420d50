"""Headers of files that were read before: each is parsed and checked once for as long as its file stays as it is.

Knows nothing of tensors in memory. The header of a network takes as long to parse as a sixth of its tensors to be read.
"""

import os
import threading
from typing import BinaryIO, Final

from cachetools import LRUCache

from voxswap_store.safetensors_header import Header, read_header

_MOST: Final = 1024
"""Files: two for each of some hundred voices."""


class KnownHeaders:
    """May be used from any thread.

    Args:
        most: how many are kept at most; what was asked for longest ago goes first.
    """

    def __init__(self, most: int = _MOST) -> None:
        self._lock = threading.Lock()
        self._known: LRUCache[tuple[int, ...], Header] = LRUCache(most)

    def of(self, file: BinaryIO) -> Header:
        """The header of an open file of the file system.

        Raises:
            BadHeader: it is malformed, or the file does not have exactly the bytes that it promises.
            OSError: it cannot be read.
        """
        identity = _identity(file)
        with self._lock:
            known = self._known.get(identity)
        if known is None:
            known = read_header(file)
            if _identity(file) == identity:  # nobody wrote to it meanwhile
                with self._lock:
                    self._known[identity] = known
        return known


def _identity(file: BinaryIO) -> tuple[int, ...]:
    """Changes whenever the file does."""
    status = os.fstat(file.fileno())
    return status.st_dev, status.st_ino, status.st_size, status.st_mtime_ns
