"""Files of a voice as they lie in the store: whether they are what the manifest says, and what may be told if not.

Knows nothing of networks, of devices or of memory.
"""

import hashlib
import threading
from pathlib import Path

from voxswap_server.domain import Prompt
from voxswap_server.errors import VoiceUnusable
from voxswap_store.entries import VoiceEntry
from voxswap_store.known_headers import KnownHeaders
from voxswap_store.safetensors_header import BadHeader, Header


class VerifiedFiles:
    """Which files were compared with their sha256 already: each is hashed once for as long as it does not change."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._seen: dict[str, tuple[int, ...]] = {}

    def check(self, path: Path, sha256: str) -> None:
        """Compares a file with its address.

        Raises:
            ValueError: it is another file.
            OSError: it cannot be read.
        """
        status = path.stat()
        identity = (status.st_dev, status.st_ino, status.st_size, status.st_mtime_ns)
        with self._lock:
            if self._seen.get(sha256) == identity:
                return
        with path.open("rb") as file:
            if hashlib.file_digest(file, "sha256").hexdigest() != sha256:
                raise ValueError("it is not the file that the manifest describes")
        with self._lock:
            self._seen[sha256] = identity


def header_of(entry: VoiceEntry, path: Path, known: KnownHeaders) -> Header:
    """The header of a file of a voice.

    Raises:
        VoiceUnusable: it cannot be read.
    """
    try:
        with path.open("rb") as opened:
            return known.of(opened)
    except (OSError, BadHeader) as error:
        raise VoiceUnusable(entry.voice_id, f"{path.name}: {told(error)}") from error


def told(error: Exception) -> str:
    """What may be told of an error: never a path."""
    return (error.strerror or "it cannot be read") if isinstance(error, OSError) else str(error)


def prompt_of(entry: VoiceEntry) -> Prompt | None:
    """The reference audio of a voice as it was given; None: it has none.

    Raises:
        VoiceUnusable: it cannot be read.
    """
    files, text = entry.manifest.files, entry.manifest.prompt
    if files.reference is None:
        return None
    try:
        main, *others = (entry.path(file).read_bytes() for file in (files.reference, *files.auxiliary))
    except OSError as error:
        raise VoiceUnusable(entry.voice_id, f"the reference audio: {told(error)}") from error
    return Prompt(main, text.transcript, text.spoken, tuple(others))
