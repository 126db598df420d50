"""The child process: a checkpoint comes in, safetensors and JSON go out.

Knows nothing of voxswap beyond this folder and the header of safetensors. It is started with three open files (the
checkpoint, an empty file for tensors, an empty file for the report) and a JSON argument; it opens nothing itself.
"""

import codecs
import errno
import json
import mmap
import os
import sys
from dataclasses import dataclass
from typing import Any, Final, Literal

from voxswap_store.safetensors_header import TensorSpec, encode_header
from voxswap_store.sandbox.archive import Archive
from voxswap_store.sandbox.contents import Contents, check_tensors, sort_out
from voxswap_store.sandbox.guard import Refused, lock_down
from voxswap_store.sandbox.limits import MIB, Limits
from voxswap_store.sandbox.pickle_machine import TensorView, take_apart
from voxswap_store.sandbox.problem import Problem

NO_SPACE: Final = "NoSpace"
"""The problem of a disk that is full."""
_WRITE_BYTES = 64 * MIB
_WORD: dict[int, Literal["B", "H", "I", "Q"]] = {1: "B", 2: "H", 4: "I", 8: "Q"}


@dataclass(frozen=True, slots=True)
class Order:
    """What the parent asks for."""

    checkpoint_fd: int
    tensors_fd: int
    report_fd: int
    limits: Limits
    namespaces: bool


def main(argument: str) -> None:
    fields = json.loads(argument)
    order = Order(**{**fields, "limits": Limits(**fields["limits"])})
    size = os.fstat(order.checkpoint_fd).st_size
    for name in ("cp437", "ascii", "utf-8", "latin-1"):  # zipfile asks for them when imports are over
        codecs.lookup(name)
    data = mmap.mmap(order.checkpoint_fd, size, access=mmap.ACCESS_COPY)
    limits = order.limits
    protections = lock_down(
        memory_bytes=size + limits.extra_memory_bytes,
        cpu_s=limits.cpu_s,
        file_bytes=int(size * limits.expansion) + limits.pickle_bytes,
        namespaces=order.namespaces,
    )
    report = {"protections": protections, **_attempt(order, data)}
    _write_all(order.report_fd, json.dumps(report, allow_nan=False).encode())
    os._exit(0)  # no clean-up code runs after the guard went up


def _attempt(order: Order, data: mmap.mmap) -> dict[str, Any]:
    try:
        return {"contents": _convert(order, data)}
    except Problem as problem:
        return {"problem": {"kind": problem.kind, "message": problem.message, "tensor": problem.tensor}}
    except MemoryError:
        return _problem("OverLimit", "reading it takes more memory than a checkpoint may")
    except RecursionError:
        return _problem("OverLimit", "its values are nested too deep")
    except OSError as error:
        full = error.errno in {errno.ENOSPC, errno.EDQUOT}  # no fault of the checkpoint
        return _problem(NO_SPACE if full else "OverLimit", f"its tensors cannot be written: {error.strerror}")
    except Refused as event:
        return _problem("ForbiddenContent", f"reading it tried {event}, which the guard refused")


def _problem(kind: str, message: str) -> dict[str, Any]:
    return {"problem": {"kind": kind, "message": message, "tensor": ""}}


def _convert(order: Order, data: mmap.mmap) -> dict[str, Any]:
    limits = order.limits
    data[:2] = b"PK"  # upstream's version heads stand where the zip's own first bytes were (SPEC §1.2)
    archive = Archive(data, limits)
    contents = sort_out(take_apart(archive.read("data.pkl", limits.pickle_bytes), limits), limits)
    _require_little_endian(archive)
    total = check_tensors(contents.tensors, lambda s: archive.member(f"data/{s.key}").size, limits)
    most = int(len(data) * limits.expansion)
    if total > most:
        raise Problem("OverLimit", f"its tensors claim {total} bytes of a file of {len(data)}; at most {most} are read")
    for key in sorted({tensor.storage.key for tensor in contents.tensors.values()}):
        archive.check(f"data/{key}")
    _write_tensors(order.tensors_fd, contents, archive, data)
    return {"values": contents.values, "wrapper": contents.wrapper, "tensors": len(contents.tensors)}


def _require_little_endian(archive: Archive) -> None:
    order = archive.read("byteorder", 16) if "byteorder" in archive else b"little"
    if order != b"little" or sys.byteorder != "little":
        raise Problem("NotACheckpoint", "its numbers are big-endian; only little-endian ones are read")


def _write_tensors(fd: int, contents: Contents, archive: Archive, data: mmap.mmap) -> None:
    specs = [TensorSpec(name, t.storage.dtype, t.shape) for name, t in contents.tensors.items()]
    _write_all(fd, encode_header(specs, {}))
    view = memoryview(data)
    for tensor in contents.tensors.values():
        member = archive.member(f"data/{tensor.storage.key}")
        _write_tensor(fd, tensor, view[member.begin : member.end])


def _write_tensor(fd: int, tensor: TensorView, content: memoryview) -> None:
    """Writes the elements in row-major order, whatever their strides were."""
    if 0 in tensor.shape:
        return  # however long its other axes are
    words = content.cast("B").cast(_WORD[tensor.storage.item_bytes])
    *outer, (columns, step) = list(zip(tensor.shape, tensor.strides, strict=True)) or [(1, 1)]
    expected = 1
    for size, stride in reversed(list(zip(tensor.shape, tensor.strides, strict=True))):
        if size != 1 and stride != expected:
            break
        expected *= size
    else:
        _write_all(fd, words[tensor.offset : tensor.offset + expected])
        return
    _write_rows(fd, words, tensor.offset, outer, columns, step)


def _write_rows(fd: int, words: memoryview, offset: int, outer: list[tuple[int, int]], columns: int, step: int) -> None:
    if outer:
        (size, stride), *rest = outer
        for index in range(size):
            _write_rows(fd, words, offset + index * stride, rest, columns, step)
    elif columns:
        _write_all(fd, words[offset : offset + (columns - 1) * step + 1 : max(step, 1)].tobytes())


def _write_all(fd: int, content: bytes | memoryview) -> None:
    view = memoryview(content).cast("B")
    while view:
        view = view[os.write(fd, view[:_WRITE_BYTES]) :]
