"""Products of many rows, block by block: the same as those of few rows, to the bit."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from voxswap_server.nn.native.blocked import FEWEST_ROWS, BlockedLinear
from voxswap_server.nn.native.compiler import Processor, processor
from voxswap_server.nn.native.post_norm import Shape, step_code
from voxswap_server.nn.native.team import Team

DTYPES = {"float16": torch.float16, "float32": torch.float32}
PANEL = processor().vectors * processor().width


def given_numbers(kind, rows, inputs, outputs):
    generator = torch.Generator().manual_seed(rows + inputs)
    x, weight = torch.randn(rows, inputs, generator=generator), torch.randn(inputs, outputs, generator=generator)
    return x, weight.to(DTYPES[kind]), torch.randn(outputs, generator=generator)


def by_blocks(kind, x, weight, bias, *, cut=False, threads=1, cpu=None):
    blocked, y = BlockedLinear(Team(threads), kind, cpu), torch.full((len(x), weight.shape[1]), torch.nan)
    assert blocked.fits(*x.shape, weight.shape[1])
    blocked.run(x, weight.data_ptr(), bias.data_ptr(), y, cut=cut)
    return y


def by_few_rows(kind, x, weight, bias, *, cut=False):
    code = step_code(Shape(kind=kind, width=16, heads=2, inner=16, layers=1, outputs=8, epsilon=1e-5))
    y, (rows, inputs), outputs = torch.empty(len(x), weight.shape[1]), x.shape, weight.shape[1]
    places = x.data_ptr(), weight.data_ptr(), bias.data_ptr(), bias.data_ptr(), y.data_ptr()
    Team(1).call(code.address("linear"), (*places, rows, inputs, outputs, cut, 0, 0))
    return y


@pytest.mark.parametrize("kind", sorted(DTYPES))
@given(rows=st.integers(FEWEST_ROWS, 70), quarters=st.integers(1, 80), panels=st.integers(1, 3), cut=st.booleans())
@settings(max_examples=15, deadline=None)
def test_it_is_the_product_of_few_rows_to_the_bit(kind, rows, quarters, panels, cut):
    numbers = given_numbers(kind, rows, 4 * quarters, panels * PANEL)
    found = by_blocks(kind, *numbers, cut=cut)
    assert torch.equal(found, by_few_rows(kind, *numbers, cut=cut))


@pytest.mark.parametrize("kind", sorted(DTYPES))
@pytest.mark.parametrize("cpu", [Processor(8, 2, halves=True), Processor(4, 4, halves=True)])
def test_code_for_narrower_processors_computes_the_same(kind, cpu):
    x, weight, bias = given_numbers(kind, 31, 260, 2 * PANEL)
    found = by_blocks(kind, x, weight, bias, cpu=cpu)
    torch.testing.assert_close(found, x @ weight.float() + bias, rtol=1e-4, atol=1e-4)


def test_the_number_of_threads_changes_no_bit():
    numbers = given_numbers("float16", 50, 300, 5 * PANEL)
    expected, *others = (by_blocks("float16", *numbers, threads=threads) for threads in (1, 2, 7))
    assert all(torch.equal(other, expected) for other in others)


def test_what_is_no_number_stays_none():
    x, weight, bias = given_numbers("float32", 25, 8, PANEL)
    x[24, 3] = torch.nan
    found = by_blocks("float32", x, weight, bias, cut=True)
    assert found[24].isnan().all()
    assert not found[:24].isnan().any()


@pytest.mark.parametrize(
    ("rows", "inputs", "outputs"), [(FEWEST_ROWS - 1, 8, PANEL), (99, 6, PANEL), (99, 8, PANEL + 1)]
)
def test_other_products_are_left_to_the_kernel_of_few_rows(rows, inputs, outputs):
    assert not BlockedLinear(Team(1), "float32").fits(rows, inputs, outputs)
