"""The pickle machine: what torch.save writes is understood, and nothing else is."""

import pickle
import sys
from collections import OrderedDict
from contextlib import suppress

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.fixtures import pickle_assembly as asm
from voxswap_store.sandbox.limits import Limits
from voxswap_store.sandbox.pickle_machine import Attributes, Storage, TensorView, take_apart
from voxswap_store.sandbox.problem import Problem

LIMITS = Limits()

plain_values = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**63), 2**63 - 1) | st.floats(allow_nan=False) | st.text(max_size=40),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner, max_size=4),
    max_leaves=20,
)


@given(plain_values, st.sampled_from([2, 3, 4, 5]))
def test_plain_values_come_back_in_every_protocol(value, protocol):
    assert take_apart(pickle.dumps(value, protocol=protocol), LIMITS) == value


def test_ordered_dicts_are_dicts():
    assert take_apart(pickle.dumps(OrderedDict(a=1, b=[2]), protocol=2), LIMITS) == {"a": 1, "b": [2]}


def test_shared_values_stay_shared():
    shared = [1]
    first, second = take_apart(pickle.dumps([shared, shared], protocol=2), LIMITS)
    assert first is second


def test_an_hparams_object_becomes_its_attributes():
    inner = asm.named("utils", "HParams") + b")\x81" + asm.plain({"version": "v2"}) + b"b"
    value = take_apart(
        asm.program(asm.named("utils", "HParams") + b")\x81" + asm.mapping({"model": inner}) + b"b"), LIMITS
    )
    assert isinstance(value, Attributes)
    assert value == {"model": {"version": "v2"}}


def test_a_tensor_is_described_and_not_made():
    view = take_apart(asm.program(asm.tensor(asm.storage(asm.HALF, "7", 12), (3, 4), (4, 1))), LIMITS)
    assert view == TensorView(Storage("F16", 2, "7", 12), 0, (3, 4), (4, 1), view.byte)


def test_a_parameter_is_its_tensor():
    inner = asm.tensor(asm.storage(asm.FLOAT, "0", 2), (2,), (1,))
    parameter = asm.called(
        asm.named("torch._utils", "_rebuild_parameter"), inner, asm.plain(True), asm.ORDERED_DICT + b")R"
    )
    assert take_apart(asm.program(parameter), LIMITS).shape == (2,)


def test_the_metadata_of_a_state_dict_is_left_out():
    described = asm.ORDERED_DICT + b")R" + asm.plain({"_metadata": {"": {"version": 1}}}) + b"b"
    assert take_apart(asm.program(described), LIMITS) == {}


FORBIDDEN_GLOBALS = [
    ("os", "system"),
    ("posix", "system"),
    ("nt", "system"),
    ("subprocess", "Popen"),
    ("builtins", "eval"),
    ("builtins", "exec"),
    ("builtins", "getattr"),
    ("builtins", "__import__"),
    ("builtins", "open"),
    ("__builtin__", "eval"),
    ("torch.hub", "load"),
    ("torch", "load"),
    ("torch.storage", "_load_from_bytes"),
    ("torch._utils", "_rebuild_tensor"),
    ("torch._utils", "_rebuild_wrapper_subclass"),
    ("torch.jit", "load"),
    ("torch", "FloatTensor"),
    ("numpy.core.multiarray", "_reconstruct"),
    ("numpy._core.multiarray", "scalar"),
    ("numpy", "load"),
    ("copyreg", "_reconstructor"),
    ("copyreg", "__newobj__"),
    ("functools", "partial"),
    ("operator", "attrgetter"),
    ("collections", "OrderedDict.fromkeys"),
    ("collections", "defaultdict"),
    ("pathlib", "PosixPath"),
    ("runpy", "run_path"),
    ("pickle", "loads"),
    ("utils", "HParams.__init__"),
    ("utils", "load_checkpoint"),
    ("utils.HParams", "keys"),
    ("os.path", "join"),
    ("os", "path.os.system"),
    ("torch", "HalfStorage.from_file"),
    ("torch.HalfStorage", ""),
    (" torch", "HalfStorage"),
    ("torch ", "HalfStorage"),
]


@pytest.mark.parametrize(("module", "name"), FORBIDDEN_GLOBALS)
@pytest.mark.parametrize("spelling", [asm.named, asm.stack_named])
def test_no_other_name_is_let_in(module, name, spelling):
    with pytest.raises(Problem, match=r"byte \d+ ") as caught:
        take_apart(asm.program(spelling(module, name)), LIMITS)
    assert caught.value.kind == "ForbiddenContent"
    assert f"{module}.{name}"[:20].replace(" ", ".") in caught.value.message.replace(" ", ".")


@pytest.mark.parametrize(
    ("value", "told"),
    [
        (asm.named("torch", "HalfStorage") + b")R", "torch.HalfStorage"),
        (asm.named("utils", "HParams") + b")R", "utils.HParams"),
        (asm.plain("os.system") + b")R", "str"),
        (asm.named("utils", "HParams") + asm.tupled(asm.plain(1)) + b"\x81", "utils.HParams"),
        (asm.ORDERED_DICT + b")\x81", "collections.OrderedDict"),
        (asm.EMPTY_DICT + asm.plain({"__class__": 1}) + b"b", "attributes"),
        (asm.EMPTY_DICT + asm.tupled(asm.NONE, asm.plain({"x": 1})) + b"b", "state"),
        (b"(ios\nsystem\n", "INST"),
        (b"(" + asm.named("utils", "HParams") + b"o", "OBJ"),
        (asm.named("utils", "HParams") + b")}\x92", "NEWOBJ_EX"),
        (b"\x82\x01", "EXT1"),
        (b"P0\n", "PERSID"),
        (b"\x97", "NEXT_BUFFER"),
        (b"\x96" + (3).to_bytes(8, "little") + b"abc", "BYTEARRAY8"),
        (b"C\x03abc", "SHORT_BINBYTES"),
        (b"\x8f", "EMPTY_SET"),
        (b"I1\n", "INT"),
        (b"N0N", "POP"),
    ],
)
def test_no_other_way_of_making_things_is_let_in(value, told):
    with pytest.raises(Problem) as caught:
        take_apart(asm.program(value), LIMITS)
    assert caught.value.kind == "ForbiddenContent"
    assert told in caught.value.message


@pytest.mark.parametrize(
    "value",
    [
        b"t",
        b"R",
        b"(0",
        b"\x85",
        b"(\x85",
        b"h\x05",
        b"(q\x00",
        b"q\x00",
        b"NNs",
        b"}(Nu",
        asm.EMPTY_DICT + asm.tupled() + asm.NONE + b"s",
        asm.mapping([("a", asm.NONE), ("a", asm.NONE)]),
        b"Na",
        b"N(e",
        b"NN",
        b"(",
        asm.ORDERED_DICT + asm.tupled(asm.EMPTY_LIST) + b"R",
        asm.tupled(asm.plain("storage")) + b"Q",
        asm.tupled(asm.plain("module"), asm.HALF, asm.plain("0"), asm.plain("cpu"), asm.plain(1)) + b"Q",
        asm.tensor(asm.NONE, (1,), (1,)),
        asm.tensor(asm.storage(asm.HALF, "0", 4), ("1",), (1,)),  # type: ignore[arg-type]
        asm.tensor(asm.storage(asm.HALF, "0", 4), (True,), (1,)),
        asm.tensor(asm.storage(asm.HALF, "0", 4), [4], (1,)),  # type: ignore[arg-type]
        b"X\x04\x00\x00\x00a\xed\xa0\x80",
        b"X\xff\xff\xff\x7fabc",
        b"\xfe",
        b"",
    ],
)
def test_malformed_pickles_are_told_as_such(value):
    with pytest.raises(Problem) as caught:
        take_apart(asm.program(value), LIMITS)
    assert caught.value.kind in {"NotACheckpoint", "ForbiddenContent"}
    assert "byte" in caught.value.message


@pytest.mark.parametrize(
    ("value", "limits"),
    [
        (b"N" * 50, Limits(opcodes=20)),
        (asm.plain("x" * 100), Limits(text_chars=99)),
        (asm.plain(1 << 64), LIMITS),
        (asm.plain(-(1 << 63) - 1), LIMITS),
    ],
)
def test_bounds_hold(value, limits):
    with pytest.raises(Problem) as caught:
        take_apart(asm.program(value), limits)
    assert caught.value.kind == "OverLimit"


@pytest.mark.parametrize(("open_", "close"), [(b"](", b"e"), (b"", b"\x85"), (b"}(X\x01\x00\x00\x00a", b"u")])
def test_depth_costs_no_stack_of_python(open_, close):
    depth = 10 * sys.getrecursionlimit()
    take_apart(asm.program(open_ * depth + asm.EMPTY_TUPLE + close * depth), LIMITS)


@settings(max_examples=400)
@given(st.binary(max_size=200))
def test_any_bytes_end_in_a_value_or_a_problem(data):
    _value_or_problem(asm.program(data))


_OPCODES = st.sampled_from([bytes([code]) for code in b"N}])()tRbQqhe.aus\x81\x85\x86\x87\x88\x89\x93\x94"])
_CHUNKS = st.one_of(
    _OPCODES,
    st.sampled_from([asm.HALF, asm.ORDERED_DICT, asm.named("utils", "HParams"), asm.storage(asm.HALF, "0", 4)]),
    st.integers(0, 5).map(asm.plain),
    st.sampled_from(["a", "storage", "0"]).map(asm.plain),
    st.integers(0, 3).map(lambda index: b"q" + bytes([index])),
    st.integers(0, 3).map(lambda index: b"h" + bytes([index])),
)


@settings(max_examples=600)
@given(st.lists(_CHUNKS, max_size=40).map(b"".join))
def test_any_program_ends_in_a_value_or_a_problem(code):
    _value_or_problem(asm.program(code))


def _value_or_problem(data):
    with suppress(Problem):
        take_apart(data, LIMITS)
