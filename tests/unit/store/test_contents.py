"""What a checkpoint holds, and whether its tensors are what they claim to be."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from voxswap_store.sandbox.contents import check_tensors, sort_out
from voxswap_store.sandbox.limits import Limits
from voxswap_store.sandbox.pickle_machine import Attributes, Storage, TensorView
from voxswap_store.sandbox.problem import Problem

LIMITS = Limits()


def view(shape, strides, *, offset=0, elements=100, dtype="F16", item_bytes=2):
    return TensorView(Storage(dtype, item_bytes, "0", elements), offset, shape, strides, 0)


def check(tensor, *, available=None, limits=LIMITS):
    size = tensor.storage.elements * tensor.storage.item_bytes if available is None else available
    return check_tensors({"enc.weight": tensor}, lambda _: size, limits)


@pytest.mark.parametrize("wrapper", ["weight", "generator", "state_dict", ""])
def test_tensors_are_found_wherever_they_lie(wrapper):
    tensors = {"a": view((2,), (1,)), "b": view((), ())}
    contents = sort_out({wrapper: tensors} if wrapper else tensors, LIMITS)
    assert contents.tensors == tensors
    assert contents.wrapper == wrapper


def test_values_beside_the_tensors_become_plain():
    config = Attributes(model=Attributes(version="v2", rates=(10, 8)), nothing=None)
    contents = sort_out({"weight": {"a": view((), ())}, "config": config, "info": "e8", "other": object()}, LIMITS)
    assert contents.values == {"config": {"model": {"version": "v2", "rates": [10, 8]}, "nothing": None}, "info": "e8"}
    assert type(contents.values["config"]) is dict


@pytest.mark.parametrize(
    ("value", "told"),
    [
        ([], "list"),
        (view((), ()), "TensorView"),
        (Attributes(weight={"a": view((), ())}), "Attributes"),
        ({}, "no tensor"),
        ({"weight": {}}, "no tensor"),
        ({"weight": {"a": 1}}, "'a' is a int"),
        ({"weight": {"a": {"b": view((), ())}}}, "'a' is a dict"),
        ({"model": {}, "iteration": 1, "optimizer": {}, "learning_rate": 1.0}, "resume a training"),
        ({"weight": {"a": view((), ())}, "config": {"x": float("nan")}}, "nan"),
        ({"weight": {"a": view((), ())}, "config": {"x": view((), ())}}, "TensorView"),
        ({"weight": {"a": view((), ())}, "config": {"x": b"bytes"}}, "bytes"),
    ],
)
def test_what_is_no_checkpoint_is_told_as_such(value, told):
    with pytest.raises(Problem, match=told) as caught:
        sort_out(value, LIMITS)
    assert caught.value.kind == "NotACheckpoint"


def _nested(levels):
    value = []
    for _ in range(levels):
        value = [value]
    return value


def _laughing(levels):
    value = ["ha"]
    for _ in range(levels):
        value = [value, value]
    return value


def _endless():
    value: list[object] = []
    value.append(value)
    return value


@pytest.mark.parametrize("config", [_nested(10_000), _laughing(40), _endless(), {"a": [0] * 300_000}])
def test_config_cannot_be_made_large_or_deep(config):
    with pytest.raises(Problem) as caught:
        sort_out({"weight": {"a": view((), ())}, "config": config}, LIMITS)
    assert caught.value.kind == "OverLimit"


def test_the_number_of_tensors_is_bounded():
    with pytest.raises(Problem) as caught:
        sort_out({str(i): view((), ()) for i in range(11)}, Limits(tensors=10))
    assert caught.value.kind == "OverLimit"


@pytest.mark.parametrize(
    ("tensor", "told"),
    [
        (view((101,), (1,)), "beyond its storage"),
        (view((10,), (1,), offset=91), "beyond its storage"),
        (view((2, 60), (60, 1)), "beyond its storage"),
        (view((), (), offset=100), "beyond its storage"),
        (view((1 << 62, 1 << 62), (0, 0)), "more than once"),
        (view((4, 4), (0, 1)), "more than once"),
        (view((4, 4), (1, 1)), "more than once"),
        (view((4, 4), (3, 1)), "more than once"),
        (view((2, 2, 2), (1, 2, 3)), "more than once"),
        (view((4,), (-1,), offset=3), "negative"),
        (view((-4,), (1,)), "negative"),
        (view((4,), (1,), offset=-1), "negative"),
        (view((1,), (1,), elements=-1), "negative"),
        (view((4, 4), (1,)), "dimensions"),
        (view((1,) * 9, (1,) * 9), "dimensions"),
        (view((1 << 40, 0), (1, 7)), "is empty"),
        (view((1 << 20, 0, 1 << 20), (1, 1, 1 << 20)), "is empty"),
    ],
)
def test_a_tensor_that_lies_is_named(tensor, told):
    with pytest.raises(Problem, match=told) as caught:
        check(tensor)
    assert caught.value.kind == "BadTensor"
    assert caught.value.tensor == "enc.weight"


def test_a_storage_that_lies_is_told():
    with pytest.raises(Problem, match="claims 100 elements of 2 bytes, and has 198 bytes"):
        check(view((4,), (1,)), available=198)


@pytest.mark.parametrize("name", ["", "__metadata__"])
def test_names_that_the_output_could_not_carry_are_refused(name):
    with pytest.raises(Problem):
        check_tensors({name: view((), ())}, lambda _: 200, LIMITS)


@given(st.lists(st.integers(0, 5), min_size=1, max_size=4), st.data())
def test_any_order_of_axes_of_an_honest_tensor_passes(shape, data):
    strides, step = [], 1
    for size in reversed(shape):
        strides.insert(0, step)
        step *= max(size, 1)
    order = data.draw(st.permutations(range(len(shape))))
    tensor = view(tuple(shape[i] for i in order), tuple(strides[i] for i in order), elements=step)
    count = 2
    for size in shape:
        count *= size
    assert check(tensor) == count


@given(st.lists(st.tuples(st.integers(0, 4), st.integers(0, 6)), max_size=3), st.integers(0, 10))
def test_what_passes_touches_every_element_at_most_once(axes, offset):
    shape, strides = tuple(a[0] for a in axes), tuple(a[1] for a in axes)
    try:
        check(view(shape, strides, offset=offset, elements=30))
    except Problem:
        return
    touched = [offset]
    for size, stride in axes:
        touched = [at + i * stride for at in touched for i in range(size)]
    assert len(set(touched)) == len(touched)
    assert all(0 <= at < 30 for at in touched)
