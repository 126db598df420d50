"""Long stages of the generator in tiles of one length: the same samples, and no length but one."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor
from torch.nn import functional as F

from voxswap_server.nn.hifigan import Generator, GeneratorConfig, Stage, in_tiles

REACH = 3
SPEAKING = GeneratorConfig(6, 64, (10, 8, 2, 2, 2), (16, 16, 8, 2, 2), (3, 7, 11), ((1, 3, 5),) * 3, 4)


def stages_of(generator: Generator) -> list[Stage]:
    return [stage for stage in generator.stages if isinstance(stage, Stage)]


@given(positions=st.integers(1, 200), width=st.integers(2 * REACH + 1, 60), seed=st.integers(0, 9))
@settings(deadline=None)
def test_tiles_equal_the_whole_and_have_one_length(positions: int, width: int, seed: int) -> None:
    generator = torch.Generator().manual_seed(seed)
    weight = torch.randn(2, 2, 1, 2 * REACH + 1, generator=generator, dtype=torch.float64)
    x = torch.randn(1, 2, 1, positions, generator=generator, dtype=torch.float64)
    lengths = []

    def function(part: Tensor) -> Tensor:
        lengths.append(part.shape[-1])
        return F.conv2d(part, weight, padding=(0, REACH))

    y = in_tiles(function, x, width, REACH)
    assert set(lengths) == {min(positions, width)}
    torch.testing.assert_close(y, F.conv2d(x, weight, padding=(0, REACH)))


def test_one_position_less_of_context_is_not_enough() -> None:
    weight = torch.ones(1, 1, 1, 2 * REACH + 1, dtype=torch.float64)
    x = torch.randn(1, 1, 1, 90, dtype=torch.float64)

    def function(part: Tensor) -> Tensor:
        return F.conv2d(part, weight, padding=(0, REACH))

    assert (in_tiles(function, x, 20, REACH - 1) - function(x)).abs().max() > 1e-3


def test_the_longest_stages_of_a_released_generator_are_tiled() -> None:
    generator = Generator(SPEAKING)
    assert [(stage.tile, stage.tiled) for stage in stages_of(generator)] == [
        (320, False),
        (2560, False),
        (5120, False),
        (10240, True),
        (20480, True),
    ]
    assert {stage.reach for stage in stages_of(generator)} == {60}


@pytest.mark.parametrize("frames", [20, 33, 71])
@torch.inference_mode()
def test_a_generator_in_tiles_says_what_it_says_without(frames: int) -> None:
    torch.manual_seed(1)
    generator = Generator(SPEAKING)
    for tensor in generator.parameters():
        torch.nn.init.normal_(tensor, std=0.2)
    x, condition = torch.randn(1, 6, frames), torch.randn(1, 4, 1)
    tiled = generator(x, condition)
    for stage in stages_of(generator):
        stage.tiled = False
    whole = generator(x, condition)
    assert whole.std() > 1e-3, "it says something"
    torch.testing.assert_close(tiled, whole, rtol=0, atol=1e-5)
