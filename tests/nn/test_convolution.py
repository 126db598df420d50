"""Convolutions in their own layout equal PyTorch's."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn
from torch.nn import functional as F

from voxswap_server.nn.convolution import FrameConv, FrameUpsampling, as_frames, few_lengths


def adopt(ours: nn.Module, theirs: nn.Module) -> None:
    ours.weight.data = theirs.weight.data.transpose(1, 2).contiguous()
    if theirs.bias is not None:
        ours.bias.data = theirs.bias.data
    ours.double().requires_grad_(requires_grad=False)
    theirs.double().requires_grad_(requires_grad=False)


@pytest.mark.parametrize(("kernel", "dilation"), [(1, 1), (3, 1), (7, 3), (11, 5)])
@pytest.mark.parametrize("bias", [True, False])
def test_a_convolution(kernel: int, dilation: int, bias: bool) -> None:
    ours = FrameConv(5, 4, kernel, dilation=dilation, bias=bias)
    theirs = nn.Conv1d(5, 4, kernel, dilation=dilation, padding=dilation * (kernel // 2), bias=bias)
    adopt(ours, theirs)
    x = torch.randn(2, 5, 23, dtype=torch.float64)
    torch.testing.assert_close(ours(as_frames(x))[:, :, 0], theirs(x))


@pytest.mark.parametrize(("kernel", "rate"), [(16, 10), (16, 8), (8, 2), (2, 2), (20, 10), (4, 2)])
def test_an_upsampling(kernel: int, rate: int) -> None:
    ours = FrameUpsampling(6, 3, kernel, rate)
    theirs = nn.ConvTranspose1d(6, 3, kernel, rate, padding=(kernel - rate) // 2)
    adopt(ours, theirs)
    x = torch.randn(2, 6, 9, dtype=torch.float64)
    y = ours(as_frames(x))
    torch.testing.assert_close(y[:, :, 0], theirs(x))
    assert y.shape[-1] == rate * 9


def test_the_layout_is_kept_from_layer_to_layer() -> None:
    """Otherwise every layer would reorder its input, and nothing would be gained."""
    ours = FrameConv(8, 8, 3)
    adopt(ours, nn.Conv1d(8, 8, 3))
    wider = FrameUpsampling(8, 4, 2, 2)
    adopt(wider, nn.ConvTranspose1d(8, 4, 2, 2))
    x = as_frames(torch.randn(1, 8, 30, dtype=torch.float64))
    for y in (x, ours(x), torch.relu(ours(x)), wider(x)):
        assert y.stride()[1] == 1


@given(st.integers(1, 1 << 20))
def test_a_length_is_made_at_most_a_quarter_longer_and_then_stays(length: int) -> None:
    few = few_lengths(length)
    assert length <= few <= 1.25 * length
    assert few_lengths(few) == few


def test_pytorch_meets_four_lengths_in_an_octave(monkeypatch: pytest.MonkeyPatch) -> None:
    """For each that it meets it compiles kernels and keeps them."""
    met: set[tuple[str, int]] = set()

    def meet(name: str) -> None:
        compute = getattr(F, name)

        def noted(x, *rest, **how):
            met.add((name, x.shape[-1]))
            return compute(x, *rest, **how)

        monkeypatch.setattr(F, name, noted)

    meet("conv2d")
    meet("conv_transpose2d")
    ours, wider = FrameConv(2, 2, 3), FrameUpsampling(2, 1, 4, 2)
    with torch.no_grad():
        for positions in range(65, 129):
            assert ours(x := torch.zeros(1, 2, 1, positions)).shape[-1] == positions
            assert wider(x).shape[-1] == 2 * positions
    assert met == {(name, length) for name in ("conv2d", "conv_transpose2d") for length in (80, 96, 112, 128)}
