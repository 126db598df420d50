"""The relative-position encoder against its formula, written out with loops."""

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from voxswap_server.nn.relative_attention import EncoderConfig, FeedForward, RelativeAttention, RelativeEncoder

CONFIG = EncoderConfig(width=8, heads=2, layers=2, feed_forward_width=6, kernel=3, window=4)


def seeded(module: torch.nn.Module, seed: int = 0) -> torch.nn.Module:
    generator = torch.Generator().manual_seed(seed)
    for parameter in module.parameters():
        parameter.data = torch.randn(parameter.shape, generator=generator, dtype=torch.float64)
    return module.double().requires_grad_(requires_grad=False).eval()


def by_the_formula(attention: RelativeAttention, x: Tensor) -> Tensor:
    """One sequence (T, C): score = q (k + offset) / root, answer = weights (v + offset)."""
    T, C = x.shape
    d = C // attention.heads
    q, k, v = (x @ attention.qkv.weight.T + attention.qkv.bias).split(C, -1)
    heads = []
    for head in range(attention.heads):
        part = slice(head * d, (head + 1) * d)
        rows = []
        for i in range(T):
            near = [j - i + attention.window if abs(j - i) <= attention.window else None for j in range(T)]
            scores = torch.stack(
                [
                    q[i, part]
                    @ (k[j, part] + (0 if near[j] is None else attention.key_offsets[near[j]]))
                    / math.sqrt(d)
                    for j in range(T)
                ]
            )
            weights = scores.softmax(0)
            rows.append(
                sum(
                    weights[j] * (v[j, part] + (0 if near[j] is None else attention.value_offsets[near[j]]))
                    for j in range(T)
                )
            )
        heads.append(torch.stack(rows))
    return torch.cat(heads, -1) @ attention.out.weight.T + attention.out.bias


@given(length=st.integers(1, 14), seed=st.integers(0, 99))
@settings(deadline=None, max_examples=25)
def test_attention_equals_its_formula_at_every_length(length: int, seed: int) -> None:
    attention = seeded(RelativeAttention(CONFIG), seed)
    x = torch.randn(length, CONFIG.width, generator=torch.Generator().manual_seed(seed + 1), dtype=torch.float64)
    torch.testing.assert_close(attention(x[None])[0], by_the_formula(attention, x), rtol=1e-10, atol=1e-10)


def test_order_matters_because_of_the_offsets_alone() -> None:
    attention = seeded(RelativeAttention(CONFIG))
    x = torch.randn(1, 9, CONFIG.width, dtype=torch.float64)
    assert not torch.allclose(attention(x).flip(1), attention(x.flip(1)))
    attention.key_offsets.zero_()
    attention.value_offsets.zero_()
    torch.testing.assert_close(attention(x).flip(1), attention(x.flip(1)))


@pytest.mark.parametrize("kernel", [1, 3, 5])
def test_the_feed_forward_part_keeps_the_length(kernel: int) -> None:
    config = EncoderConfig(width=8, heads=2, layers=1, feed_forward_width=6, kernel=kernel)
    assert seeded(FeedForward(config))(torch.randn(2, 7, 8, dtype=torch.float64)).shape == (2, 7, 8)


@pytest.mark.parametrize("length", [1, 9, 23])
def test_the_feed_forward_part_takes_nothing_from_behind_the_end(length: int) -> None:
    """Its convolutions are given more frames than there are."""
    ours = seeded(FeedForward(CONFIG))
    x = torch.randn(2, length, 8, dtype=torch.float64)
    plain = ours.conv2(torch.relu(ours.conv1(x.transpose(1, 2)))).transpose(1, 2)
    torch.testing.assert_close(ours(x), plain)


def test_layers_normalise_what_comes_out() -> None:
    encoder = seeded(RelativeEncoder(CONFIG))
    for layer in encoder:
        layer.norm2.weight.fill_(1)
        layer.norm2.bias.zero_()
    out = encoder(torch.randn(1, 6, CONFIG.width, dtype=torch.float64))
    torch.testing.assert_close(out.mean(-1), torch.zeros(1, 6, dtype=torch.float64), atol=1e-9, rtol=0)
    torch.testing.assert_close(out.var(-1, correction=0), torch.ones(1, 6, dtype=torch.float64), atol=1e-3, rtol=0)


@given(lengths=st.lists(st.integers(1, 14), min_size=2, max_size=4), kernel=st.sampled_from((1, 3, 5)))
@settings(deadline=None, max_examples=20)
def test_sequences_in_a_row_do_not_hear_each_other(lengths: list[int], kernel: int) -> None:
    encoder = seeded(RelativeEncoder(EncoderConfig(8, 2, 2, 6, kernel)))
    parts = torch.randn(2, sum(lengths), 8, generator=torch.Generator().manual_seed(1)).double().split(lengths, 1)
    alone = torch.cat([encoder(part) for part in parts], 1)
    torch.testing.assert_close(encoder(torch.cat(parts, 1), lengths), alone, rtol=1e-9, atol=1e-9)
