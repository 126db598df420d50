"""Products with a matrix of 8 bits: every width of register, every size, and what is no number."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from voxswap_server.nn.native.compiler import Processor, processor
from voxswap_server.nn.native.dots import room_bytes
from voxswap_server.nn.native.post_norm import Shape, step_code
from voxswap_server.nn.native.team import Team
from voxswap_server.nn.quantized import quantized, restored

SHAPE = Shape("int8", width=32, heads=2, inner=64, layers=1, outputs=65, epsilon=1e-5)
PLAIN = Processor(8, 2, halves=True)
WIDE = Processor(16, 4, halves=True)
BYTES = Processor(8, 2, halves=True, dots=True)
NEAR = 1e-4
"""Of the largest result: activations of 16 bits, and a matrix that is compared with its own rounded numbers."""


@pytest.fixture(scope="module")
def code():
    """Machine code by processor; those with products of bytes only where they run."""
    made = {}

    def for_processor(cpu):
        if cpu.dots and not processor().dots:
            pytest.skip("this processor has no products of bytes")
        if cpu not in made:
            with pytest.MonkeyPatch.context() as patch:
                patch.setattr("voxswap_server.nn.native.post_norm.processor", lambda: cpu)
                made[cpu] = step_code.__wrapped__(SHAPE)
        return made[cpu]

    return for_processor


def multiplied(code, x, rounded, bias, *, cut=False, threads=1):
    """Rows x (rows, in) -> (rows, out) by the task "linear"; all memory that it may not touch is checked."""
    (rows, inputs), outputs = x.shape, bias.shape[0]
    floats = -(-room_bytes(rows, inputs) // 4)
    y, room = torch.full((rows * outputs + 64,), -7.5), torch.full((threads * floats + 64,), -7.5)
    matrix = (x, rounded.values, rounded.scale, bias, y)
    words = (*(each.data_ptr() for each in matrix), rows, inputs, outputs, cut, room.data_ptr(), floats)
    Team(threads).run(code.address("linear"), torch.tensor(words, dtype=torch.int64))
    assert (y[rows * outputs :] == -7.5).all()
    assert (room[threads * floats :] == -7.5).all()
    return y[: rows * outputs].view(rows, outputs)


def drawn(rows, inputs, outputs):
    generator = torch.Generator().manual_seed(rows * 7919 + inputs * 31 + outputs)
    x = torch.randn(rows, inputs, generator=generator) * torch.rand(rows, 1, generator=generator) * 10
    return x, quantized(torch.randn(inputs, outputs, generator=generator)), torch.randn(outputs, generator=generator)


def expected(x, rounded, bias):
    return (x.double() @ restored(rounded, x.shape[1]).double() + bias).float()


@pytest.mark.parametrize("cpu", [processor(), PLAIN, WIDE, BYTES], ids=["at hand", "narrow", "wide", "narrow, bytes"])
@pytest.mark.parametrize(("rows", "inputs", "outputs"), [(1, 32, 64), (4, 512, 130), (7, 23, 1), (50, 101, 79)])
def test_every_size_and_every_processor(code, cpu, rows, inputs, outputs):
    given_ = drawn(rows, inputs, outputs)
    right = expected(*given_)
    found = multiplied(code(cpu), *given_)
    assert (found - right).abs().max() < NEAR * right.abs().max()
    assert torch.equal(multiplied(code(cpu), *given_, cut=True), found.clamp_min(0))


@given(rows=st.integers(1, 110), inputs=st.integers(1, 80), outputs=st.integers(1, 150), threads=st.integers(1, 3))
@settings(max_examples=15, deadline=None)
def test_a_row_is_the_same_to_the_bit_in_any_company(rows, inputs, outputs, threads):
    code = step_code(SHAPE)
    x, rounded, bias = drawn(rows, inputs, outputs)
    together = multiplied(code, x, rounded, bias, threads=threads)
    some = [0, rows // 2, rows - 1]
    assert torch.equal(torch.cat([multiplied(code, x[[row]], rounded, bias) for row in some]), together[some])


def test_numbers_far_apart_keep_their_row_s_precision(code):
    """Rows of any size, one number of which is thousands of times the others."""
    x, rounded, bias = drawn(6, 64, 70)
    x *= torch.tensor([1e-20, 1e-6, 1.0, 1e3, 1e9, 1e20])[:, None]
    x[:, 5] *= 3000
    right = expected(x, rounded, torch.zeros_like(bias))
    found = multiplied(code(processor()), x, rounded, torch.zeros_like(bias))
    assert ((found - right).abs().amax(1) < 3 * NEAR * right.abs().amax(1)).all()


def test_nothing_stays_nothing(code):
    _, rounded, bias = drawn(2, 64, 70)
    for x in (torch.zeros(2, 64), torch.full((2, 64), 1e-40)):
        assert torch.equal(multiplied(code(processor()), x, rounded, bias), bias.expand(2, -1))


@pytest.mark.parametrize("none", [float("nan"), float("inf"), float("-inf")])
@pytest.mark.parametrize("place", [3, 66])
def test_what_is_no_number_spoils_its_own_row_and_no_other(code, none, place):
    x, rounded, bias = drawn(3, 67, 70)
    right = multiplied(code(processor()), x, rounded, bias)
    x[1, place] = none
    found = multiplied(code(processor()), x, rounded, bias)
    assert not found[1].isfinite().any()
    assert torch.equal(found[[0, 2]], right[[0, 2]])
