"""Our own convolutions: what PyTorch's give, up to rounding, for any length, kernel, dilation and number of threads."""

from fractions import Fraction

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor
from torch.nn import functional as F

from voxswap_server.nn import convolution
from voxswap_server.nn.convolution import FrameConv, as_frames
from voxswap_server.nn.hifigan import Generator, GeneratorConfig
from voxswap_server.nn.native.compiler import Processor
from voxswap_server.nn.native.convolution import Plan, Shape
from voxswap_server.nn.native.team import Team
from voxswap_server.nn.native.toom_cook import LONG, SHORT, ToomCook

SLOPE = 0.1
ALONE = Team(1)
SPEAKING = GeneratorConfig(6, 64, (4, 2), (8, 4), (3, 7, 11), ((1, 3, 5),) * 3, 4)


def layer(width: int, kernel: int, dilation: int = 1, *, seed: int = 1) -> FrameConv:
    torch.manual_seed(seed)
    made = FrameConv(width, width, kernel, dilation=dilation).requires_grad_(requires_grad=False)
    made.weight.normal_(std=(width * kernel) ** -0.5)
    made.bias.normal_()
    return made


def plainly(made: FrameConv, x: Tensor, onto: Tensor | None = None) -> Tensor:
    """The same in double precision, by PyTorch: (B, C, 1, N)."""
    weight, padding = made.weight.double().transpose(1, 2), made.dilation * (made.weight.shape[1] // 2)
    y = F.conv1d(F.leaky_relu(x.double(), SLOPE)[:, :, 0], weight, made.bias.double(), 1, padding, made.dilation)
    return y[:, :, None] + (0 if onto is None else onto.double())


def assert_rounds(got: Tensor, wanted: Tensor) -> None:
    assert got.shape == wanted.shape
    assert got.dtype == torch.float32
    assert (got - wanted).abs().max() <= 5e-6 * max(1.0, wanted.abs().max())


@pytest.mark.parametrize("scheme", [SHORT, LONG])
@given(values=st.lists(st.integers(-99, 99), min_size=20, max_size=20))
@settings(max_examples=10)
def test_fewer_products_are_exactly_the_same_sums(scheme: ToomCook, values: list[int]) -> None:
    def mixed(rows: list[list[Fraction]], numbers: list) -> list[Fraction]:
        return [sum((a * b for a, b in zip(row, numbers, strict=True)), Fraction(0)) for row in rows]

    inputs, taps = values[: scheme.products], values[-scheme.taps :]
    pairs = zip(mixed(scheme.of_inputs(), inputs), mixed(scheme.of_taps(), taps), strict=True)
    wanted = [sum(inputs[at + tap] * taps[tap] for tap in range(scheme.taps)) for at in range(scheme.outputs)]
    assert mixed(scheme.of_products(), [one * other for one, other in pairs]) == wanted
    assert scheme.products < scheme.outputs * scheme.taps


@given(
    width=st.sampled_from((16, 32, 48, 128)),
    kernel=st.sampled_from((1, 3, 5, 7, 11)),
    dilation=st.integers(1, 6),
    positions=st.integers(1, 90),
    rows=st.integers(1, 2),
    added=st.booleans(),
)
@settings(max_examples=60, deadline=None)
def test_what_pytorch_computes(width: int, kernel: int, dilation: int, positions: int, rows: int, added: bool) -> None:
    made = layer(width, kernel, dilation)
    x, onto = (as_frames(torch.randn(rows, width, positions)) for _ in range(2))
    got = made.activated(x, SLOPE, onto=onto if added else None, team=ALONE)
    assert_rounds(got, plainly(made, x, onto if added else None))
    assert got.stride()[1] == 1, "the layout is kept from layer to layer"


@pytest.mark.parametrize("threads", [2, 3])
@pytest.mark.parametrize(("positions", "dilation"), [(5, 1), (4000, 3)])
def test_the_number_of_threads_changes_no_bit(threads: int, positions: int, dilation: int) -> None:
    made, x = layer(32, 7, dilation), as_frames(torch.randn(1, 32, positions))
    assert Plan.of(Shape(False, 16, 2, 12, True), 32, 4000, 7, 3, 1).blocks > 1, "it is a matter of several blocks"
    alone, together = (made.activated(x, SLOPE, onto=x, team=team) for team in (ALONE, Team(threads)))
    assert torch.equal(alone, together)


@pytest.mark.parametrize("cpu", [Processor(8, 2, halves=True), Processor(4, 4, halves=True)])
@pytest.mark.parametrize("kernel", [3, 7])
def test_narrower_processors(monkeypatch: pytest.MonkeyPatch, cpu: Processor, kernel: int) -> None:
    monkeypatch.setattr(convolution, "processor", lambda: cpu)
    made, x = layer(24, kernel, 2), as_frames(torch.randn(1, 24, 77))
    assert_rounds(made.activated(x, SLOPE, onto=x, team=ALONE), plainly(made, x, x))


@pytest.mark.parametrize("convert", [lambda made: made.double(), lambda made: made.bfloat16()])
def test_other_precisions_are_pytorchs(convert) -> None:
    made = convert(layer(16, 3))
    x = as_frames(torch.randn(1, 16, 9)).to(made.weight.dtype)
    assert torch.equal(made.activated(x, SLOPE, team=ALONE), made(F.leaky_relu(x, SLOPE)))


def test_channels_that_fill_no_vector_are_pytorchs() -> None:
    made, x = layer(10, 3), as_frames(torch.randn(1, 10, 9))
    assert torch.equal(made.activated(x, SLOPE, onto=x, team=ALONE), made(F.leaky_relu(x, SLOPE)) + x)
    assert Shape.of(10, 3, Processor(16, 4, halves=True)) is None


def test_what_is_given_stays_as_it_is() -> None:
    made, x = layer(16, 7), as_frames(torch.randn(1, 16, 40))
    before, onto = x.clone(), x.clone()
    made.activated(x, SLOPE, onto=onto, team=ALONE)
    assert torch.equal(x, before)
    assert torch.equal(onto, before)


def test_what_is_no_number_does_not_become_one() -> None:
    made, x = layer(16, 3), as_frames(torch.randn(1, 16, 40))
    x[0, 3, 0, 20] = torch.nan
    y = made.activated(x, SLOPE, team=ALONE)
    assert y[0, :, 0, 19:22].isnan().all()
    assert y[0, :, 0, 30:].isfinite().all()


@pytest.mark.parametrize("frames", [3, 40])
@torch.inference_mode()
def test_a_generator_says_the_same_by_either(frames: int) -> None:
    torch.manual_seed(1)
    generator = Generator(SPEAKING)
    for tensor in generator.parameters():
        torch.nn.init.normal_(tensor, std=0.1)
    x, condition = torch.randn(1, 6, frames), torch.randn(1, 4, 1)
    plain, ours = generator(x, condition), generator(x, condition, ALONE)
    assert plain.std() > 1e-3, "it says something"
    assert not torch.equal(plain, ours), "another way of computing it rounds otherwise"
    assert (plain - ours).abs().max() <= 1e-5 * plain.abs().max()
