"""g2pW, which tells the readings of Chinese characters: recognised as a folder or as the published zip, and copied.

Knows nothing of what its files say: it is no network of tensors, so they are stored as they are. Of a zip only the
members of these names are unpacked, under these names and no further than their bounds: what else lies in it, and where
a member would like to go, counts for nothing.
"""

import errno
import re
import struct
import zipfile
import zlib
from collections.abc import Callable, Collection, Iterator
from pathlib import Path
from typing import BinaryIO, Final, cast

from voxswap_store.errors import CheckpointError, ForbiddenContent, NotACheckpoint, OverLimit, TruncatedCheckpoint
from voxswap_store.files import Sink, Staging
from voxswap_store.manifest import StoredFile

MODELS: Final = ("g2pW.onnx", "g2pw.onnx")
TABLES: Final = ("POLYPHONIC_CHARS.txt", "MONOPHONIC_CHARS.txt", "bopomofo_to_pinyin_wo_tune_dict.json")
LARGEST_MODEL_BYTES: Final = 2 << 30
"""Three times the published one."""
LARGEST_TABLE_BYTES: Final = 16 << 20
_ARCHIVE: Final = re.compile(r"g2pwmodel.*\.zip", re.IGNORECASE)
_BLOCK_BYTES: Final = 1 << 20
_ENCRYPTED: Final = 0x1
_PACKED: Final = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED)
_DAMAGE: Final = (
    zipfile.BadZipFile,
    zlib.error,
    struct.error,
    EOFError,
    ValueError,
    NotImplementedError,
    RuntimeError,
)
"""What `zipfile` raises where bytes are wrong."""


def model_in(names: Collection[str]) -> str | None:
    """Which of a folder's files is the model; None where the folder is not g2pW's."""
    if not all(table in names for table in TABLES):
        return None
    return next((name for name in MODELS if name in names), None)


def is_archive(name: str) -> bool:
    """Whether a file is called what the zip is published as."""
    return _ARCHIVE.fullmatch(name) is not None


def store_g2pw(source: Path, staging: Staging) -> list[StoredFile]:
    """Copies the model and its tables, under their names in small letters.

    Args:
        source: the model, which lies beside its tables; or the zip.
        staging: where they go.

    Raises:
        CheckpointError: the zip is damaged or holds no g2pW; or a file is empty, or larger than its bound.
    """
    if not is_archive(source.name):
        files = [source, *(source.with_name(table) for table in TABLES)]
        return [staging.write(file.name.lower(), _copier(file)) for file in files]
    try:
        with zipfile.ZipFile(source) as archive:
            return [staging.write(name.lower(), _unpacker(archive, entry)) for name, entry in _members(archive)]
    except CheckpointError:
        raise
    except OSError as error:
        if error.errno != errno.EINVAL:  # which a place before the start of the file is
            raise
        raise TruncatedCheckpoint(f"{source.name} is damaged: it points before its start") from None
    except _DAMAGE as error:
        raise TruncatedCheckpoint(f"{source.name} is damaged: {error}") from None


def _members(archive: zipfile.ZipFile) -> Iterator[tuple[str, zipfile.ZipInfo]]:
    """The model and its tables, of the folder nearest to the top that has them all."""
    folders: dict[str, dict[str, zipfile.ZipInfo]] = {}
    for entry in archive.infolist():
        folder, _, name = entry.filename.rpartition("/")
        if name in MODELS or name in TABLES:
            found = folders.setdefault(folder, {})
            if name in found:
                raise NotACheckpoint(f"the zip has two members {name!r}")
            found[name] = entry
    whole = [folder for folder, found in folders.items() if model_in(found)]
    if not whole:
        raise NotACheckpoint(f"the zip does not hold g2pW: {MODELS[0]} with {', '.join(TABLES)}")
    members = folders[min(whole, key=lambda folder: (folder.count("/"), folder))]
    for name in (cast("str", model_in(members)), *TABLES):
        _require_bounded(name, members[name])
        yield name, members[name]


def _require_bounded(name: str, entry: zipfile.ZipInfo) -> None:
    if entry.flag_bits & _ENCRYPTED or entry.compress_type not in _PACKED:
        raise ForbiddenContent(f"{name} of the zip is encrypted, or packed in a way that is not read")
    _require_size(name, entry.file_size)


def _require_size(name: str, size_bytes: int) -> None:
    limit = LARGEST_TABLE_BYTES if name in TABLES else LARGEST_MODEL_BYTES
    if size_bytes > limit:
        raise OverLimit(f"{name} has {size_bytes} bytes; at most {limit} are read")
    if size_bytes == 0:
        raise NotACheckpoint(f"{name} is empty")


def _unpacker(archive: zipfile.ZipFile, entry: zipfile.ZipInfo) -> Callable[[Sink], object]:
    """Unpacks no more than the zip says that the member has; the end compares its checksum."""

    def unpack(sink: Sink) -> None:
        with archive.open(entry) as member:
            _pour(cast("BinaryIO", member), sink)

    return unpack


def _copier(file: Path) -> Callable[[Sink], object]:
    _require_size(file.name, file.stat().st_size)

    def copy(sink: Sink) -> None:
        with file.open("rb") as opened:
            _pour(opened, sink)

    return copy


def _pour(opened: BinaryIO, sink: Sink) -> None:
    while block := opened.read(_BLOCK_BYTES):
        sink.write(block)
