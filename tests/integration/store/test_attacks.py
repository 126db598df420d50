"""Files that want to harm: each is refused with its own error, nothing of it runs, nothing of it stays.

The canary is a file that a working attack creates. That the attacks work is shown on Python's own unpickler first, so a
canary that stays away proves something.
"""

import io
import os
import pickle
import zipfile

import pytest
import torch

from tests.fixtures import pickle_assembly as asm
from voxswap_store import errors, reader
from voxswap_store.checkpoint import read_checkpoint
from voxswap_store.reader import read_contents
from voxswap_store.sandbox import child
from voxswap_store.sandbox.limits import Limits


@pytest.fixture
def canary(tmp_path, monkeypatch):
    monkeypatch.setenv("CANARY", str(tmp_path / "canary"))
    return tmp_path / "canary"


class OsSystem:
    def __reduce__(self):
        return os.system, ('touch "$CANARY"',)


class Evaluated:
    def __reduce__(self):
        return eval, ("open(__import__('os').environ['CANARY'], 'w').close()",)


class ThroughGetattr:
    def __reduce__(self):
        return getattr, (OsSystem(), "__class__")


class InState:
    def __init__(self):
        self.child = OsSystem()


def through_hparams():
    """The allowed object with an attack in its state."""
    return asm.named("utils", "HParams") + b")\x81" + asm.mapping({"version": pickle.dumps(OsSystem(), 2)[2:-1]}) + b"b"


RUNNING = {
    "os.system": pickle.dumps(OsSystem(), 2)[2:-1],
    "os.system, protocol 4": pickle.dumps(OsSystem(), 4)[2:-1],
    "eval": pickle.dumps(Evaluated(), 4)[2:-1],
    "nested in getattr": pickle.dumps(ThroughGetattr(), 4)[2:-1],
    "in a dict": pickle.dumps({"weight": {"a": OsSystem()}}, 2)[2:-1],
    "in the state of an object": pickle.dumps(InState(), 2)[2:-1],
    "INST": b"(S'touch \"$CANARY\"'\nios\nsystem\n",
    "OBJ": b"(" + asm.named("os", "system") + asm.plain('touch "$CANARY"') + b"o",
    "dotted name": asm.stack_named("os", "path.os.system") + asm.tupled(asm.plain('touch "$CANARY"')) + b"R",
    "after a valid value": asm.plain({}) + b"0" + pickle.dumps(OsSystem(), 2)[2:-1],
}


@pytest.mark.parametrize("attack", RUNNING, ids=str)
def test_the_attacks_work_on_an_ordinary_unpickler(attack, canary):
    try:
        pickle.loads(b"\x80\x04" + RUNNING[attack] + b".")
    except TypeError:
        assert attack == "OBJ"  # it calls, and then is not what it should be
    assert canary.exists()


@pytest.mark.parametrize("attack", RUNNING, ids=str)
def test_and_run_nothing_here(attack, canary):
    data = asm.torch_zip(b"\x80\x04" + RUNNING[attack] + b".")
    with pytest.raises(errors.ForbiddenContent, match=r"byte \d+ of the pickle"):
        read_checkpoint(data)
    assert not canary.exists()


def test_an_attack_inside_hparams_runs_nothing(canary):
    with pytest.raises(errors.ForbiddenContent, match="system"):
        read_checkpoint(asm.torch_zip(asm.program(asm.mapping({"config": through_hparams()}))))
    assert not canary.exists()


def test_the_head_of_a_voice_does_not_open_the_door(canary):
    with pytest.raises(errors.ForbiddenContent, match="system"):
        read_checkpoint(asm.torch_zip(asm.program(RUNNING["os.system"]), head=b"05"))
    assert not canary.exists()


def test_the_caller_is_told_the_name_and_not_the_server():
    with pytest.raises(errors.ForbiddenContent) as caught:
        read_checkpoint(asm.torch_zip(asm.program(asm.named("torch.hub", "load"))))
    assert "torch.hub.load" in caught.value.message
    assert "/" not in caught.value.message
    assert caught.value.reason == "FORBIDDEN_CONTENT"


ONE = asm.storage(asm.HALF, "0", 8)
EIGHT = {"0": asm.halves(*range(8))}


@pytest.mark.parametrize(
    ("weight", "storages"),
    [
        (asm.tensor(ONE, (1 << 20,), (1,)), EIGHT),
        (asm.tensor(ONE, (1 << 30,), (0,)), EIGHT),
        (asm.tensor(ONE, (4,), (-1,), 3), EIGHT),
        (asm.tensor(ONE, (3, 3), (2, 1)), EIGHT),
        (asm.tensor(ONE, (2,), (1,), 7), EIGHT),
        (asm.tensor(ONE, (1 << 40, 1 << 40), (1, 1)), EIGHT),
        (asm.tensor(ONE, (8,), (1,)), {"0": b"ab"}),
        (asm.tensor(asm.storage(asm.HALF, "0", 1 << 40), (8,), (1,)), EIGHT),
        (asm.tensor(asm.storage(asm.FLOAT, "0", 8), (8,), (1,)), EIGHT),
    ],
)
def test_shapes_that_lie_are_told_with_the_tensor(weight, storages):
    with pytest.raises(errors.BadTensor, match=r"enc\.weight") as caught:
        read_checkpoint(asm.one_tensor(weight, storages))
    assert caught.value.tensor == "enc.weight"


def test_a_storage_that_is_not_there_is_told():
    with pytest.raises(errors.TruncatedCheckpoint, match="data/0"):
        read_checkpoint(asm.one_tensor(asm.tensor(ONE, (8,), (1,)), {}))


def test_a_key_is_no_path():
    weight = asm.tensor(asm.storage(asm.HALF, "../../../../etc/passwd", 8), (8,), (1,))
    with pytest.raises(errors.TruncatedCheckpoint, match="lacks its member"):
        read_checkpoint(asm.one_tensor(weight, EIGHT))


@pytest.mark.parametrize("value", [float("nan"), float("inf"), float("-inf")])
def test_weights_that_are_no_numbers_are_told_with_the_tensor(value):
    data = asm.one_tensor(asm.tensor(ONE, (8,), (1,)), {"0": asm.halves(*range(7), value)})
    with pytest.raises(errors.BadTensor, match="NaN or infinity") as caught:
        read_checkpoint(data)
    assert caught.value.tensor == "enc.weight"


def test_one_storage_cannot_become_a_thousand_tensors():
    """The pickle grows with every view, but far slower than the views do."""
    storages = {"0": bytes(1 << 20)}
    big = asm.storage(asm.HALF, "0", 1 << 19)
    views = asm.mapping({str(i): asm.tensor(big, (1 << 19,), (1,)) for i in range(1000)})
    with pytest.raises(errors.OverLimit, match="claim"):
        read_checkpoint(asm.torch_zip(asm.program(views), storages))


def test_a_tied_tensor_is_read_twice():
    twice = asm.mapping({name: asm.tensor(ONE, (8,), (1,)) for name in ("a", "b")})
    read = read_checkpoint(asm.torch_zip(asm.program(twice), EIGHT))
    assert torch.equal(read.weight["a"], read.weight["b"])
    assert read.weight["a"].tolist() == list(range(8))


def test_zip_bombs_are_not_unpacked():
    packed = asm.torch_zip(
        asm.program(asm.EMPTY_DICT), {"0": bytes(50 << 20)}, compression=zipfile.ZIP_DEFLATED, compresslevel=9
    )
    with pytest.raises(errors.ForbiddenContent, match="packed"):
        read_checkpoint(packed)


DEEP = 10_000
BOMBS = {
    "deep list": asm.mapping({"weight": b"](" * DEEP + asm.NONE + b"e" * DEEP}),
    "deep tuple in the config": asm.mapping(
        {"weight": asm.mapping({"a": asm.tensor(ONE, (8,), (1,))}), "config": asm.EMPTY_TUPLE + b"\x85" * DEEP}
    ),
    "deep dict in the config": asm.mapping(
        {
            "weight": asm.mapping({"a": asm.tensor(ONE, (8,), (1,))}),
            "config": b"}(X\x01\x00\x00\x00k" * DEEP + asm.NONE + b"u" * DEEP,
        }
    ),
    "laughing lists": asm.mapping(
        {
            "weight": asm.mapping({"a": asm.tensor(ONE, (8,), (1,))}),
            "config": asm.listed(
                b"]q\x64", *(b"](h" + bytes([i]) + b"h" + bytes([i]) + b"eq" + bytes([i + 1]) for i in range(100, 160))
            ),
        }
    ),
    "list in itself": asm.mapping(
        {"weight": asm.mapping({"a": asm.tensor(ONE, (8,), (1,))}), "config": b"]q\x00h\x00a"}
    ),
    "absurd text": asm.mapping({"config": asm.plain("x" * 10_000)}),
    "absurd number": asm.mapping({"config": asm.plain(1 << 2000)}),
    "absurd tensor name": asm.mapping({"weight": asm.mapping({"x" * 5000: asm.tensor(ONE, (8,), (1,))})}),
    "many steps": b"N" * 1_000_001,
    "large pickle": asm.plain(["y" * 4000] * 1) + b"0" * (17 << 20),
}


@pytest.mark.parametrize("bomb", BOMBS, ids=str)
def test_bombs_do_not_go_off(bomb):
    with pytest.raises((errors.OverLimit, errors.NotACheckpoint), match=r"\w") as caught:
        read_checkpoint(asm.torch_zip(asm.program(BOMBS[bomb]), EIGHT))
    assert caught.value.reason == ("NOT_A_CHECKPOINT" if bomb == "deep list" else "CHECKPOINT_OVER_LIMIT")


def test_a_huge_memo_index_takes_no_memory():
    value = asm.mapping({"a": asm.tensor(ONE, (8,), (1,))}) + b"r\xff\xff\xff\xff"
    assert read_checkpoint(asm.torch_zip(asm.program(value), EIGHT)).kind == "state"


def test_time_is_bounded():
    steps = asm.torch_zip(asm.program(asm.EMPTY_TUPLE * 15_000_000))
    with pytest.raises(errors.OverLimit, match="1 s of processor time"):
        read_contents(steps, limits=Limits(opcodes=1 << 40, cpu_s=1))


def test_a_long_way_to_nothing_is_not_walked():
    tall = asm.tensor(asm.storage(asm.HALF, "0", 8), (1 << 31, 0), (1, 7))
    read = read_contents(asm.one_tensor(tall, EIGHT), limits=Limits(cpu_s=5))
    assert [tuple(tensor.shape) for tensor in read.tensors.values()] == [(1 << 31, 0)]


def test_a_full_disk_is_no_fault_of_the_checkpoint(monkeypatch):
    def full(order, data):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(child, "_convert", full)
    report = child._attempt(None, None)
    with pytest.raises(OSError, match="No space left"):
        raise reader._error(reader._Problem(**report["problem"]))


def test_waiting_is_bounded():
    with pytest.raises(errors.OverLimit, match=r"longer than 0\.01 s"):
        read_contents(asm.one_tensor(asm.tensor(ONE, (8,), (1,)), EIGHT), limits=Limits(wall_s=0.01))


def test_memory_is_bounded():
    steps = asm.torch_zip(asm.program(asm.EMPTY_DICT * 8_000_000))
    with pytest.raises(errors.OverLimit, match="memory"):
        read_contents(steps, limits=Limits(opcodes=1 << 40, extra_memory_bytes=200 << 20))


def test_the_file_itself_is_bounded():
    with pytest.raises(errors.OverLimit, match="at most 100"):
        read_checkpoint(asm.one_tensor(asm.tensor(ONE, (8,), (1,)), EIGHT), limits=Limits(file_bytes=100))


def legacy_file():
    out = io.BytesIO()
    torch.save({"weight": {"a": torch.ones(2)}}, out, _use_new_zipfile_serialization=False)
    return out.getvalue()


@pytest.mark.parametrize(
    ("data", "told"),
    [
        (b"", "empty"),
        (b"P", "first two bytes are b'P'"),
        (b"07" + bytes(100), "first two bytes are b'07'"),
        (b"XX" + bytes(100), "PK, 00, 01, 02, 03, 04, 05, 06"),
        (b"\x1f\x8b\x08" + bytes(100), "gzip"),
        (b"7z\xbc\xaf\x27\x1c", "7-Zip"),
        (b"version https://git-lfs.github.com/spec/v1\n", "Git LFS"),
        (b"<!DOCTYPE html><html>", "web page"),
        (pickle.dumps({"a": 1}), "bare pickle"),
        (legacy_file(), "torch before 1.6"),
    ],
)
def test_files_of_another_kind_are_told_as_such(data, told):
    with pytest.raises(errors.NotACheckpoint, match=told):
        read_checkpoint(data)


@pytest.mark.parametrize("kept", [0.01, 0.3, 0.6, 0.9, 0.999])
def test_truncated_files_are_told_as_such(kept):
    data = asm.one_tensor(asm.tensor(asm.storage(asm.HALF, "0", 50_000), (50_000,), (1,)), {"0": bytes(100_000)})
    with pytest.raises(errors.TruncatedCheckpoint, match="cut short"):
        read_checkpoint(data[: int(len(data) * kept)])


def test_damaged_weights_are_told_as_such():
    data = bytearray(asm.one_tensor(asm.tensor(ONE, (8,), (1,)), EIGHT))
    data[data.index(EIGHT["0"])] ^= 1
    with pytest.raises(errors.TruncatedCheckpoint, match="checksum"):
        read_checkpoint(bytes(data))


def test_nothing_stays_in_the_scratch_folder(tmp_path, canary):
    for data in (asm.torch_zip(asm.program(RUNNING["eval"])), asm.one_tensor(asm.tensor(ONE, (9,), (1,)), EIGHT)):
        with pytest.raises(errors.CheckpointError):
            read_checkpoint(data, scratch=tmp_path)
        assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("namespaces", [True, False])
def test_it_says_what_protected_it(namespaces):
    data = asm.one_tensor(asm.tensor(ONE, (8,), (1,)), EIGHT)
    held = read_contents(data, namespaces=namespaces).protections
    assert "audit hook" in held
    assert "limits on memory, time, files and processes" in held
    if not namespaces:
        assert "user and net namespaces" not in held
