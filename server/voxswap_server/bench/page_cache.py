"""Files as the system keeps them in memory.

Knows nothing of what is in them. A system that is short of memory takes single pages of files that lie idle, and what
comes back for them is scattered: copied from there, the same file takes twice as long. So whoever compares readings of
files has them read afresh before.
"""

import os
from collections.abc import Iterable
from pathlib import Path
from typing import Final

_CHUNK_BYTES: Final = 8 << 20


def read_afresh(files: Iterable[Path]) -> None:
    """Has the system forget files, where it can be told to, and reads them once, from front to back."""
    buffer = memoryview(bytearray(_CHUNK_BYTES))
    for path in files:
        with path.open("rb+", buffering=0) as file:
            os.fsync(file.fileno())  # what is not on the disk yet cannot be forgotten
            if hasattr(os, "posix_fadvise"):  # not on macOS
                os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)
            while file.readinto(buffer):
                pass
