"""The diffusion transformer: what its parts depend on."""

import math

import pytest
import torch
from hypothesis import example, given, settings
from hypothesis import strategies as st
from torch import Tensor

from voxswap_server.nn.dit import FRAMES_TOGETHER, Attention, Dit, DitConfig, Modulation, TimeEmbedding

CONFIG = DitConfig(
    bands=6,
    condition_width=12,
    width=16,
    depth=2,
    frequencies=(1.0, 0.5),
    feed_forward_width=20,
    text_blocks=2,
    text_inner_width=10,
    position_groups=4,
)


def seeded(module: torch.nn.Module, seed: int = 0) -> torch.nn.Module:
    generator = torch.Generator().manual_seed(seed)
    for parameter in module.parameters():
        parameter.data = torch.randn(parameter.shape, generator=generator, dtype=torch.float64) * 0.3
    return module.requires_grad_(requires_grad=False).eval()


def random(*shape: int, seed: int = 1) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def rotation(length: int) -> tuple[Tensor, Tensor]:
    return seeded(Dit(CONFIG))._rotation(random(1, length, 1))


def test_only_the_first_head_is_rotated() -> None:
    """Heads after the first see no positions: they do not care about the order of the frames."""
    attention = seeded(Attention(CONFIG))
    attention.out.weight.copy_(torch.eye(16))
    attention.out.bias.zero_()
    x = random(1, 9, 16)
    forth, back = attention(x, rotation(9), 9), attention(x.flip(1), rotation(9), 9).flip(1)
    torch.testing.assert_close(forth[..., 4:], back[..., 4:])
    assert (forth[..., :4] - back[..., :4]).abs().max() > 1e-3


def test_a_rotation_turns_neighbouring_channels_by_the_position() -> None:
    cos, sin = rotation(4)
    torch.testing.assert_close(cos[3], torch.tensor([3.0, 3.0, 1.5, 1.5]).cos().double())
    torch.testing.assert_close(sin[2], torch.tensor([2.0, 2.0, 1.0, 1.0]).sin().double())


def test_time_is_a_sinus_of_a_thousand_times_it() -> None:
    embedding = seeded(TimeEmbedding(16))
    heard: list[Tensor] = []
    embedding.linear1.register_forward_hook(lambda _module, inputs, _output: heard.append(inputs[0]))
    embedding(torch.tensor([0.0, 0.25]))
    frequencies = torch.exp(-torch.arange(128) * math.log(10_000) / 127)
    torch.testing.assert_close(heard[0][0, :128], torch.zeros(128, dtype=torch.float64))
    torch.testing.assert_close(heard[0][1, 128:], (250 * frequencies).cos().double(), rtol=0, atol=1e-4)


@pytest.mark.parametrize("steps", [1, 3, 10])
def test_modulations_of_all_steps_equal_those_of_each(steps: int) -> None:
    network = seeded(Dit(CONFIG))
    together = network.modulations(steps)
    assert [rows.shape for rows in together.blocks] == [(steps, 96)] * 2
    for step in range(steps):
        time = network.time(torch.tensor([step / steps])) + network.step_size(torch.tensor([1 / steps]))
        expected = network.last_modulation(torch.nn.functional.silu(time))[0]
        torch.testing.assert_close(together.last[step], expected, rtol=1e-3, atol=1e-3)


def test_rows_of_a_batch_do_not_touch_each_other() -> None:
    network = seeded(Dit(CONFIG))
    modulation = network.modulations(4)
    x, prompt, condition = random(2, 8, 6), random(2, 8, 6, seed=2), random(2, 8, 12, seed=3)

    def velocity(rows: slice, step: int) -> Tensor:
        around = network.surroundings(network.text(condition[rows]), prompt[rows], 3)
        return network(x[rows, 3:], around, modulation, step)

    together = velocity(slice(0, 2), 1)
    torch.testing.assert_close(together[1:], velocity(slice(1, 2), 1), rtol=0, atol=1e-12)
    assert not torch.allclose(together, velocity(slice(0, 2), 2))


def plain(network: Dit, x: Tensor, prompt: Tensor, text: Tensor, modulation: Modulation, step: int) -> Tensor:
    """All of a pass, with nothing kept, left out or filled up: (B, T, bands) each but the text."""
    frames = x.shape[1]
    x = network.joined_in(torch.cat((x, prompt, text), -1))
    y = x.transpose(1, 2)
    for conv in network.positions.convs:
        y = torch.nn.functional.mish(conv(y))
    x = x + y.transpose(1, 2)
    for block, rows in zip(network.blocks, modulation.blocks, strict=True):
        x = block(x, rows[step], network._rotation(x), frames)
    scale, shift = modulation.last[step].chunk(2)
    return network.out(torch.nn.functional.layer_norm(x, x.shape[-1:], eps=1e-6) * (1 + scale) + shift)


@settings(max_examples=40, deadline=None)
@given(known=st.integers(0, 140), moving=st.integers(1, 100), rows=st.integers(1, 2))
@example(known=0, moving=64, rows=1)
@example(known=30, moving=2, rows=1)
@example(known=31, moving=33, rows=2)
@example(known=64, moving=32, rows=1)
@example(known=140, moving=1, rows=1)
def test_what_is_kept_for_all_steps_changes_nothing(known: int, moving: int, rows: int) -> None:
    network, frames = seeded(Dit(CONFIG)), known + moving
    modulation = network.modulations(3)
    x, prompt = random(rows, frames, 6), random(rows, frames, 6, seed=2)
    x[:, :known], prompt[:, known:] = 0, 0
    text = network.text(random(rows, frames, 12, seed=3))
    around = network.surroundings(text, prompt, known)
    for step in range(3):
        found = network(x[:, known:], around, modulation, step)
        torch.testing.assert_close(found, plain(network, x, prompt, text, modulation, step)[:, known:])
        x[:, known:] += found / 3


def test_a_settled_frame_is_one_that_no_moving_frame_reaches() -> None:
    network = seeded(Dit(CONFIG))
    text, prompt = network.text(random(1, 120, 12)), torch.zeros(1, 120, 6)
    around = network.surroundings(text, prompt, 90)
    assert around.settled.shape == (1, 60, 16)
    still, moved = (network._placed(random(1, 30, 6) * loud, around) for loud in (0.0, 1.0))
    torch.testing.assert_close(moved[:, :60], still[:, :60], rtol=0, atol=0)
    assert (moved[:, 60] - still[:, 60]).abs().max() > 0


@pytest.mark.parametrize("frames", [1, 32, 33, 97])
def test_few_lengths_are_computed(frames: int) -> None:
    network = seeded(Dit(CONFIG))
    heard: list[int] = []
    for block in network.blocks:
        block.register_forward_hook(lambda _module, inputs, output: heard.extend((inputs[0].shape[1], output.shape[1])))
    text, prompt = network.text(random(1, frames + 40, 12)), torch.zeros(1, frames + 40, 6)
    made = network(random(1, frames, 6), network.surroundings(text, prompt, 40), network.modulations(1), 0)
    assert made.shape == (1, frames, 6)
    assert all(length % FRAMES_TOGETHER == 0 for length in heard)
    assert heard[-1] < heard[0]  # the last block leaves out what nobody asks for
