"""The zip of torch.save: honest ones are sliced, all others refused."""

import mmap
import tempfile
import zipfile

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.fixtures import pickle_assembly as asm
from voxswap_store.sandbox.archive import Archive
from voxswap_store.sandbox.limits import Limits
from voxswap_store.sandbox.problem import Problem

LIMITS = Limits()
HONEST = asm.torch_zip(asm.program(asm.EMPTY_DICT), {"0": b"abcd", "1": b""})


def opened(data, limits=LIMITS):
    with tempfile.TemporaryFile() as file:
        file.write(data)
        file.flush()
        return Archive(mmap.mmap(file.fileno(), len(data), access=mmap.ACCESS_COPY), limits)


def refused(data, kind, told, limits=LIMITS):
    with pytest.raises(Problem, match=told) as caught:
        opened(data, limits)
    assert caught.value.kind == kind


def test_members_are_read_by_their_inner_name():
    archive = opened(HONEST)
    assert archive.read("data.pkl", 100) == asm.program(asm.EMPTY_DICT)
    assert archive.read("data/0", 4) == b"abcd"
    assert "data/1" in archive
    assert "data/2" not in archive
    assert archive.member("data/1").size == 0


def test_a_missing_member_is_told():
    with pytest.raises(Problem, match="lacks its member 'data/9'"):
        opened(HONEST).member("data/9")


def test_a_large_member_is_not_copied():
    with pytest.raises(Problem, match="at most 3"):
        opened(HONEST).read("data/0", 3)


def test_a_flipped_bit_is_found():
    damaged = HONEST.replace(b"abcd", b"abce")
    with pytest.raises(Problem, match="checksum"):
        opened(damaged).check("data/0")


def test_packed_members_are_refused():
    bomb = asm.torch_zip(asm.program(asm.EMPTY_DICT), {"0": bytes(10_000_000)}, compression=zipfile.ZIP_DEFLATED)
    assert len(bomb) < 20_000
    refused(bomb, "ForbiddenContent", "packed")


def test_members_are_counted():
    many = asm.torch_zip(asm.program(asm.EMPTY_DICT), {str(i): b"" for i in range(30)})
    refused(many, "OverLimit", "33 members", Limits(members=20))


@pytest.mark.filterwarnings("ignore:Duplicate name")
def test_doubled_names_are_refused():
    twice = asm.torch_zip(asm.program(asm.EMPTY_DICT), {"0": b"ab", "1": b"cd"}).replace(b"data/1", b"data/0")
    refused(twice, "NotACheckpoint", "two members 'data/0'")


def test_a_member_outside_the_inner_folder_is_refused():
    refused(HONEST.replace(b"archive/data/0", b"../../../etc/0"), "NotACheckpoint", "outside")


def test_a_zip_of_something_else_is_refused():
    refused(HONEST.replace(b"data.pkl", b"data.txt"), "NotACheckpoint", r"no data\.pkl")


def _central(data, name, at, value, width):
    """Changes a field of a member's entry in the directory of the zip."""
    entry = data.rindex(b"PK\x01\x02", 0, data.rindex(name))
    return data[: entry + at] + value.to_bytes(width, "little") + data[entry + at + width :]


def test_overlapping_members_are_refused():
    data = asm.torch_zip(asm.program(asm.EMPTY_DICT), {"0": b"abcd" * 20, "1": b"efgh" * 20})
    longer = _central(_central(data, b"data/0", 24, 150, 4), b"data/0", 20, 150, 4)
    refused(longer, "NotACheckpoint", "overlaps")


@pytest.mark.parametrize("size", [5_000, 0xFFFFFFF0])
def test_a_member_longer_than_the_file_is_refused(size):
    longer = _central(_central(HONEST, b"data/0", 24, size, 4), b"data/0", 20, size, 4)
    refused(longer, "TruncatedCheckpoint", "ends at byte")


def test_sizes_that_disagree_are_refused():
    refused(_central(HONEST, b"data/0", 24, 400_000, 4), "TruncatedCheckpoint", "ends at byte")


def test_a_member_that_starts_nowhere_is_refused():
    refused(_central(HONEST, b"data/0", 42, 3, 4), "NotACheckpoint", "no member starts")


@pytest.mark.parametrize("kept", [2, 30, 100, len(HONEST) // 2, len(HONEST) - 23, len(HONEST) - 1])
def test_a_truncated_file_is_told_as_such(kept):
    refused(HONEST[:kept], "TruncatedCheckpoint", f"ends after {kept} bytes")


@settings(max_examples=300)
@given(st.integers(0, len(HONEST) - 1), st.binary(min_size=1, max_size=4))
def test_any_damage_ends_in_a_problem_or_a_slice_of_the_file(at, junk):
    damaged = (HONEST[:at] + junk + HONEST[at + len(junk) :])[: len(HONEST)]
    try:
        archive = opened(damaged)
        member = archive.member("data/0")
        archive.check("data/0")
    except Problem:
        return
    assert 0 <= member.begin <= member.end <= len(damaged)
