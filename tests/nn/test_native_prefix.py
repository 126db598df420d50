"""Attention of whole prefixes on our own kernels: the same as PyTorch's, for any size and any processor."""

import gc
import weakref

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from voxswap_server.nn.native import prefix
from voxswap_server.nn.native.compiler import Processor, processor
from voxswap_server.nn.native.prefix import PrefixAttention
from voxswap_server.nn.native.team import Team
from voxswap_server.nn.t2s import KVCache, PrefillRow, T2SConfig, attend_prefix, prefix_mask

CPU = torch.device("cpu")


def row_of(phones: int, tokens: int, *, heads: int, head_dim: int, kept: torch.dtype, room: int = 3) -> PrefillRow:
    config = T2SConfig(heads * head_dim, heads, 1, 8, 9, 9, 8, 4, 30.0)
    cache = KVCache(config, phones + tokens + room, dtype=kept, device=CPU)
    return PrefillRow(torch.zeros(phones, dtype=torch.long), None, torch.zeros(tokens, dtype=torch.long), cache)


def queries(row: PrefillRow, seed: int = 0) -> torch.Tensor:
    """Queries, keys and values of every position."""
    _, heads, _, head_dim = row.cache.layers[0].shape
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(len(row.phones) + len(row.prompt), 3 * heads * head_dim, generator=generator)


def heard(attention: PrefixAttention, row: PrefillRow, qkv: torch.Tensor) -> torch.Tensor:
    out = torch.full((len(qkv), qkv.shape[1] // 3), torch.nan)
    attention.run(qkv, len(row.phones), row.cache.layers[0], out, attention.scratch(len(qkv)))
    return out


sizes = st.tuples(st.integers(1, 90), st.integers(0, 90))


@pytest.mark.parametrize("kept", [torch.float32, torch.float16])
@pytest.mark.parametrize(("heads", "head_dim"), [(2, 32), (3, 8), (2, 5), (1, 96)])
@given(sizes=sizes, seed=st.integers(0, 9))
@settings(max_examples=12, deadline=None)
def test_it_computes_what_pytorch_does(kept, heads, head_dim, sizes, seed):
    ours, other = (row_of(*sizes, heads=heads, head_dim=head_dim, kept=kept) for _ in range(2))
    qkv, size = queries(ours, seed), sum(sizes)
    expected = attend_prefix(qkv, other, 0, prefix_mask(other, CPU))
    found = heard(PrefixAttention(Team(1), head_dim, kept), ours, qkv)
    torch.testing.assert_close(found, expected, rtol=0, atol=2e-6)
    assert torch.equal(ours.cache.layers[0][:, :, :size], other.cache.layers[0][:, :, :size]), "as they are kept"


@pytest.mark.parametrize("cpu", [Processor(8, 2, halves=True), Processor(4, 4, halves=True)])
def test_code_for_narrower_processors_computes_the_same(cpu):
    row = row_of(20, 33, heads=2, head_dim=32, kept=torch.float32)
    qkv = queries(row)
    expected = heard(PrefixAttention(Team(1), 32, torch.float32), row, qkv)
    found = heard(PrefixAttention(Team(1), 32, torch.float32, cpu), row, qkv)
    torch.testing.assert_close(found, expected, rtol=0, atol=2e-6)


def test_the_number_of_threads_changes_no_bit():
    row = row_of(31, 40, heads=5, head_dim=16, kept=torch.float32)
    qkv = queries(row)
    expected, *others = (heard(PrefixAttention(Team(threads), 16, torch.float32), row, qkv) for threads in (1, 2, 7))
    assert all(torch.equal(other, expected) for other in others)


def test_what_comes_later_changes_no_bit_of_what_was_before():
    """A spoken position hears nothing behind it."""
    row = row_of(25, 30, heads=2, head_dim=32, kept=torch.float32)
    attention, qkv = PrefixAttention(Team(1), 32, torch.float32), queries(row)
    expected = heard(attention, row, qkv)
    qkv[41:] *= 3
    found = heard(attention, row, qkv)
    assert torch.equal(found[:41], expected[:41])
    assert (found[41:] - expected[41:]).abs().amin(1).min() > 0


def test_what_is_no_number_stays_visible():
    row = row_of(25, 30, heads=2, head_dim=32, kept=torch.float32)
    qkv = queries(row)
    qkv[41, 100] = torch.nan  # of a key
    assert heard(PrefixAttention(Team(1), 32, torch.float32), row, qkv)[41:].isnan().any(1).all()


def test_scores_of_thousands_do_not_overflow():
    row = row_of(25, 30, heads=2, head_dim=32, kept=torch.float32)
    qkv = 100 * queries(row)
    expected = attend_prefix(qkv, row, 0, prefix_mask(row, CPU))
    found = heard(PrefixAttention(Team(1), 32, torch.float32), row, qkv)
    torch.testing.assert_close(found, expected, rtol=0, atol=1e-3)


def test_code_is_made_once_a_shape():
    one, other = (PrefixAttention(Team(1), 32, torch.float32, processor()) for _ in range(2))
    assert one._entry == other._entry


def test_its_code_stays_when_nobody_else_keeps_it():
    """As where two threads load voices at once: each has the code made, and only one of the two is remembered."""
    row = row_of(9, 9, heads=2, head_dim=32, kept=torch.float32)
    attention, qkv = PrefixAttention(Team(1), 32, torch.float32), queries(row)
    expected, code = heard(attention, row, qkv), weakref.ref(prefix._code(attention._shape).engine)
    prefix._code.cache_clear()
    gc.collect()
    assert code() is not None
    assert torch.equal(heard(attention, row, qkv), expected)
