"""Runs the child that takes a checkpoint apart, and turns what it says into tensors or a typed error.

Knows nothing of what the tensors mean. The child gets open files and a clock; whatever happens to it, the files are
anonymous and vanish with this call.
"""

import errno
import hashlib
import json
import os
import select
import signal
import subprocess
import sys
import tempfile
import time
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, BinaryIO, Final

from pydantic import BaseModel, ConfigDict, ValidationError
from torch import Tensor

import voxswap_store
from voxswap_store import errors
from voxswap_store.errors import CheckpointError, NotACheckpoint, OverLimit, TruncatedCheckpoint
from voxswap_store.progress import Progress
from voxswap_store.safetensors_header import BadHeader
from voxswap_store.sandbox.child import NO_SPACE
from voxswap_store.sandbox.limits import Limits
from voxswap_store.weights import read_weights

_START_BYTES: Final = 8192
_TICK_S: Final = 0.1
_STARTS: Final = {
    b"\x80\x02\x8a\x0a": "it is in the format of torch before 1.6; load it with a current torch and save it again",
    b"version ": "it is a pointer of Git LFS, not the file itself; fetch it with `git lfs pull`",
    b"<!DOCTYP": "it is a web page; the download went wrong",
    b"<html": "it is a web page; the download went wrong",
    b"\x1f\x8b": "it is packed with gzip; unpack it first",
    b"7z\xbc\xaf": "it is packed with 7-Zip; unpack it first",
    b"Rar!": "it is packed with RAR; unpack it first",
    b"\x80": "it is a bare pickle, not a file of torch.save",
}
HEADS: Final = (b"PK", b"00", b"01", b"02", b"03", b"04", b"05", b"06")
"""First bytes of a checkpoint: the zip's own, or upstream's version heads (SPEC §1.2)."""
_START_CHILD: Final = (
    "import sys; sys.path.append(sys.argv[1]); from voxswap_store.sandbox.child import main; main(sys.argv[2])"
)
_CLASSES: Final[dict[str, type[CheckpointError]]] = {
    cls.__name__: cls for cls in (NotACheckpoint, TruncatedCheckpoint, errors.ForbiddenContent, OverLimit)
}


@dataclass(frozen=True)
class RawContents:
    """What is in the file, under the names of the file."""

    head: str
    """The first two bytes: PK, or one of upstream's version heads."""
    tensors: dict[str, Tensor]
    values: dict[str, Any]
    """`config`, `info`, `lora_rank`, as far as the file has them."""
    protections: tuple[str, ...]
    """What held the child while it read."""
    start_md5: str
    """Of the first 8192 bytes: how upstream knows its own base models (SPEC §1.2). No content address."""


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True)


class _Contents(_Strict):
    values: dict[str, Any]
    wrapper: str
    tensors: int


class _Problem(_Strict):
    kind: str
    message: str
    tensor: str


class _Report(_Strict):
    protections: tuple[str, ...]
    contents: _Contents | None = None
    problem: _Problem | None = None


def read_contents(
    source: Path | bytes,
    *,
    limits: Limits | None = None,
    scratch: Path | None = None,
    progress: Progress | None = None,
    namespaces: bool = True,
) -> RawContents:
    """Reads a file of torch.save in a child process that can do nothing else.

    Args:
        source: path, or the bytes of the file.
        limits: what it may ask for.
        scratch: directory for anonymous files as large as the tensors; None is the system's own.
        progress: told of bytes written.
        namespaces: wall the child off in the kernel too, where that is allowed; False leaves Python's audit hook.

    Raises:
        CheckpointError: of the class that says what is wrong with it.
        OSError: the path cannot be opened, or the disk is full.
    """
    limits = limits or Limits()
    with _opened(source, scratch) as file:
        size = file.seek(0, os.SEEK_END)
        start = os.pread(file.fileno(), _START_BYTES, 0)
        head = _require_head(start, size, limits)
        with tempfile.TemporaryFile(dir=scratch) as tensors_file, tempfile.TemporaryFile() as report_file:
            _run_child(file, tensors_file, report_file, limits, namespaces, progress)
            report = _parse(report_file)
            if report.problem:
                raise _error(report.problem)
            if report.contents is None:
                raise CheckpointError("the reader of the checkpoint gave no answer")
            try:
                tensors = read_weights(tensors_file).tensors
            except BadHeader as error:
                raise CheckpointError(f"the reader of the checkpoint wrote no tensors: {error}") from None
    md5 = hashlib.md5(start, usedforsecurity=False).hexdigest()
    return RawContents(head, tensors, report.contents.values, report.protections, md5)


def _opened(source: Path | bytes, scratch: Path | None) -> BinaryIO:
    if isinstance(source, Path):
        return source.open("rb")
    file = tempfile.TemporaryFile(dir=scratch)  # noqa: SIM115  # the caller closes it, whichever of the two it is
    file.write(source)
    file.flush()
    return file


def _require_head(start: bytes, size: int, limits: Limits) -> str:
    if size > limits.file_bytes:
        raise OverLimit(f"the file has {size} bytes; at most {limits.file_bytes} are read")
    if start[:2] in HEADS:
        return start[:2].decode()
    why = next((why for magic, why in _STARTS.items() if start.startswith(magic)), None)
    if why is None:
        known = ", ".join(head.decode() for head in HEADS)
        why = f"its first two bytes are {start[:2]!r}, those of a checkpoint are one of {known}"
    raise NotACheckpoint(why if size else "the file is empty")


def _run_child(
    file: BinaryIO,
    tensors_file: BinaryIO,
    report_file: BinaryIO,
    limits: Limits,
    namespaces: bool,
    progress: Progress | None,
) -> None:
    descriptors = [f.fileno() for f in (file, tensors_file, report_file)]
    names = ("checkpoint_fd", "tensors_fd", "report_fd")
    order = {**dict(zip(names, descriptors, strict=True)), "limits": asdict(limits), "namespaces": namespaces}
    package_root = str(Path(voxswap_store.__file__).parent.parent)
    command = [sys.executable, "-I", "-S", "-B", "-c", _START_CHILD, package_root, json.dumps(order)]
    ended, alive = os.pipe()  # the child holds the other end open for as long as it lives
    with (
        open(ended, "rb"),  # noqa: PTH123  # a descriptor, not a path
        tempfile.TemporaryDirectory() as empty,
        tempfile.TemporaryFile() as complaints,
    ):
        with open(alive, "wb"):  # noqa: PTH123
            child = subprocess.Popen(  # noqa: S603  # our own interpreter and our own constant program
                command,
                cwd=empty,
                env={},
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=complaints,
                pass_fds=[*descriptors, alive],
            )
        with child:
            try:
                _wait(ended, tensors_file, file.seek(0, os.SEEK_END), limits, progress)
            except BaseException:
                child.kill()
                raise
        if child.returncode:
            complaints.seek(0)
            raise _crash(child.returncode, limits, complaints.read(4096).decode(errors="replace"))


def _wait(ended: int, written: BinaryIO, size: int, limits: Limits, progress: Progress | None) -> None:
    """Until the child is gone; tells how much it has written meanwhile."""
    deadline = time.monotonic() + limits.wall_s
    while True:
        left_s = deadline - time.monotonic()
        if left_s <= 0:
            raise OverLimit(f"reading it took longer than {limits.wall_s:g} s")
        gone = select.select([ended], [], [], min(_TICK_S, left_s))[0]
        if progress:
            progress(size if gone else min(os.fstat(written.fileno()).st_size, size), size)
        if gone:
            return


def _crash(code: int, limits: Limits, complaint: str) -> CheckpointError:
    if code == -signal.SIGXCPU:
        return OverLimit(f"reading it took more than {limits.cpu_s} s of processor time")
    if code == -signal.SIGKILL:
        return OverLimit("reading it was ended by the system: it took too much memory or time")
    if code < 0:
        return CheckpointError(f"reading it crashed the reader ({signal.Signals(-code).name})")
    if "MemoryError" in complaint:
        return OverLimit("reading it takes more memory than a checkpoint may")
    error = CheckpointError(f"the reader of the checkpoint ended with code {code}")
    error.add_note(complaint)  # for the log; the caller is shown the message alone
    return error


def _parse(report_file: BinaryIO) -> _Report:
    report_file.seek(0)
    try:
        return _Report.model_validate_json(report_file.read())
    except ValidationError as error:
        failure = CheckpointError("the reader of the checkpoint gave no readable answer")
        raise failure from error


def _error(problem: _Problem) -> CheckpointError | OSError:
    if problem.kind == NO_SPACE:
        return OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
    if problem.tensor:
        return errors.BadTensor(problem.tensor, problem.message)
    return _CLASSES.get(problem.kind, CheckpointError)(problem.message)
