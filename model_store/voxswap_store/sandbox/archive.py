"""The zip that torch.save writes: where each member lies.

Knows nothing of pickles. torch stores its members uncompressed and one after another, so a member is a slice of the
file: compressed, encrypted, overlapping or doubled members are refused, and nothing is ever unpacked.
"""

import io
import mmap
import struct
import zipfile
import zlib
from collections.abc import Iterator
from dataclasses import dataclass

from voxswap_store.sandbox.limits import Limits
from voxswap_store.sandbox.problem import Problem, shorten

_LOCAL_HEADER = struct.Struct("<4s5H3I2H")
_ENCRYPTED = 0x1


class _Mapped(io.RawIOBase):
    """A mapped file as the zipfile module wants it."""

    def __init__(self, data: mmap.mmap) -> None:
        super().__init__()
        self._data = data
        self._at = 0

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def tell(self) -> int:
        return self._at

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        base = {io.SEEK_SET: 0, io.SEEK_CUR: self._at, io.SEEK_END: len(self._data)}[whence]
        if base + offset < 0:
            raise OSError("seek before the start")
        self._at = base + offset
        return self._at

    def read(self, size: int = -1) -> bytes:
        end = len(self._data) if size < 0 else self._at + size
        found = self._data[self._at : end]
        self._at += len(found)
        return found


@dataclass(frozen=True, slots=True)
class Member:
    """A slice of the file."""

    begin: int
    end: int
    crc: int

    @property
    def size(self) -> int:
        return self.end - self.begin


class Archive:
    """Members of a torch zip, by their name below the inner folder (`data.pkl`, `data/0`, ...)."""

    def __init__(self, data: mmap.mmap, limits: Limits) -> None:
        """Reads the directory of the zip.

        Raises:
            Problem: it is no torch zip, ends early, or does something that torch.save does not.
        """
        self._data = data
        entries = _directory(data)
        if len(entries) > limits.members:
            raise Problem("OverLimit", f"the zip has {len(entries)} members; at most {limits.members} are read")
        root = next((e.filename[: -len("data.pkl")] for e in entries if e.filename.endswith("/data.pkl")), None)
        if root is None:
            raise Problem("NotACheckpoint", "the zip holds no data.pkl: it was not written by torch.save")
        self._members = dict(_members(data, entries, root))
        _refuse_overlaps(self._members)

    def read(self, name: str, limit_bytes: int) -> bytes:
        """A copy of a small member."""
        member = self.member(name)
        if member.size > limit_bytes:
            raise Problem("OverLimit", f"{name} of the zip has {member.size} bytes; at most {limit_bytes} are read")
        self.check(name)
        return self._data[member.begin : member.end]

    def __contains__(self, name: str) -> bool:
        return name in self._members

    def member(self, name: str) -> Member:
        try:
            return self._members[name]
        except KeyError:
            raise Problem("TruncatedCheckpoint", f"the zip lacks its member {shorten(name)!r}") from None

    def check(self, name: str) -> None:
        """Compares the checksum of a member; a checkpoint that lost bits does not become a voice."""
        member = self.member(name)
        with memoryview(self._data) as view, view[member.begin : member.end] as content:
            if zlib.crc32(content) != member.crc:
                raise Problem("TruncatedCheckpoint", f"the checksum of {shorten(name)!r} is wrong: the file is damaged")


def _directory(data: mmap.mmap) -> list[zipfile.ZipInfo]:
    try:
        with zipfile.ZipFile(_Mapped(data)) as opened:
            return opened.infolist()
    except (zipfile.BadZipFile, OSError, ValueError, NotImplementedError, struct.error) as error:
        raise Problem(
            "TruncatedCheckpoint",
            f"the file ends after {len(data)} bytes without a readable directory of its zip ({shorten(str(error))}): "
            "it was cut short or damaged",
        ) from None


def _members(data: mmap.mmap, entries: list[zipfile.ZipInfo], root: str) -> Iterator[tuple[str, Member]]:
    seen = set()
    for entry in entries:
        if not entry.filename.startswith(root):
            raise Problem("NotACheckpoint", f"the zip has a member {shorten(entry.filename)!r} outside {root!r}")
        name = entry.filename[len(root) :]
        if name in seen:
            raise Problem("NotACheckpoint", f"the zip has two members {shorten(name)!r}")
        seen.add(name)
        yield name, _slice(data, entry, name)


def _slice(data: mmap.mmap, entry: zipfile.ZipInfo, name: str) -> Member:
    if entry.compress_type != zipfile.ZIP_STORED or entry.flag_bits & _ENCRYPTED:
        raise Problem("ForbiddenContent", f"member {shorten(name)!r} of the zip is packed; torch.save packs nothing")
    header = data[entry.header_offset : entry.header_offset + _LOCAL_HEADER.size]
    if len(header) < _LOCAL_HEADER.size:
        raise Problem("TruncatedCheckpoint", f"member {shorten(name)!r} starts at the end of the file")
    magic, *_, name_bytes, extra_bytes = _LOCAL_HEADER.unpack(header)
    if magic != b"PK\x03\x04":
        raise Problem("NotACheckpoint", f"no member starts at byte {entry.header_offset}, where the zip says so")
    begin = entry.header_offset + _LOCAL_HEADER.size + name_bytes + extra_bytes
    end = begin + entry.file_size
    if entry.compress_size != entry.file_size or end > len(data):
        raise Problem("TruncatedCheckpoint", f"member {shorten(name)!r} ends at byte {end} of {len(data)}")
    return Member(begin, end, entry.CRC)


def _refuse_overlaps(members: dict[str, Member]) -> None:
    last = 0
    for name, member in sorted(members.items(), key=lambda pair: pair[1].begin):
        if member.size and member.begin < last:
            raise Problem("NotACheckpoint", f"member {shorten(name)!r} of the zip overlaps the one before it")
        last = max(last, member.end)
