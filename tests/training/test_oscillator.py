"""The phase that a voice should have: in step with its pitch, begun anywhere; and how far off a made one is."""

import numpy as np
import pytest
import torch

from tests.training.test_export import SOVITS_SHAPE
from voxswap_training import oscillator
from voxswap_training.channels import PHASES_PER_FRAME
from voxswap_training.flow import Flow
from voxswap_training.oscillator import REACH, Misses, cycles_of, made_phases, missed, slips, wanted_phases
from voxswap_training.pack import Lines
from voxswap_training.phases import Phases
from voxswap_training.pitch import Pitch

CPU = torch.device("cpu")
ROWS, FIRST, FRAMES = torch.tensor([0, 3]), torch.tensor([-2, 5]), 9


def steady(hertz: float, frames: int) -> torch.Tensor:
    return torch.full((1, 2, frames), 12 * np.log2(hertz / 150) / 4)


def test_wanted_phases_turn_as_fast_as_the_voice() -> None:
    torch.manual_seed(0)
    phases = wanted_phases(steady(170.0, 60), torch.randn(1, 2, 60), reach=8)
    cosines, sines = phases.transpose(1, 2).chunk(2, -1)
    turning = torch.complex(cosines, sines).flatten()
    assert (turning.abs() - 1).abs().max() < 1e-4
    turned = torch.angle(turning[1:] * turning[:-1].conj()) / (2 * torch.pi)
    within_frames = torch.ones(599, dtype=torch.bool)
    within_frames[PHASES_PER_FRAME - 1 :: PHASES_PER_FRAME] = False
    torch.testing.assert_close(turned[within_frames], torch.full((540,), 170 / 500), atol=1e-4, rtol=0)
    hertz = 500 * turned.mean()
    assert abs(float(hertz) - 170) < 5, "from frame to frame it drifts, but not away"


def test_a_steady_phase_never_slips_and_an_unsteady_one_does() -> None:
    pitch = steady(170.0, 20)
    angle = 2 * torch.pi * cycles_of(pitch)
    phases = torch.cat([angle.cos(), angle.sin()], -1).transpose(1, 2).float()
    assert slips(phases, pitch).abs().max() < 1e-4
    phases[..., 10:] *= -1
    found = slips(phases, pitch).abs()
    torch.testing.assert_close(found[:, 9], torch.full((1, 2), 2.0), atol=1e-4, rtol=0)
    assert found[:, 10:].max() < 1e-4


def test_other_seeds_begin_elsewhere() -> None:
    pitch = steady(170.0, 40)
    one, two = (wanted_phases(pitch, torch.randn(1, 2, 40), reach=8) for _ in range(2))
    assert (one - two).abs().mean() > 0.1


def test_cycles_are_counted_from_the_beginning() -> None:
    cycles = cycles_of(steady(200.0, 5))
    assert cycles.shape == (1, 5, PHASES_PER_FRAME)
    torch.testing.assert_close(cycles.flatten(), torch.arange(1, 51).double() * 0.4)


def test_couplings_that_make_what_they_should_miss_nothing(
    lines: Lines, pitch: Pitch, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(oscillator, "made_phases", lambda _flow, pitch, seeds: wanted_phases(pitch, seeds, reach=REACH))
    found = Misses(Flow(SOVITS_SHAPE), pitch, CPU).draw(ROWS, FIRST, FRAMES)
    torch.testing.assert_close(found, torch.ones(2, FRAMES, PHASES_PER_FRAME, dtype=found.dtype), atol=1e-3, rtol=0)


def test_misses_are_of_the_couplings_and_of_chance(lines: Lines, pitch: Pitch, phases: Phases) -> None:
    torch.manual_seed(0)
    flow = Flow(SOVITS_SHAPE)
    for coupling in flow.flows.values():
        torch.nn.init.normal_(coupling.post.bias, std=0.5)
    misses = Misses(flow, pitch, CPU)
    one, two = (misses.draw(ROWS, FIRST, FRAMES) for _ in range(2))
    assert not torch.equal(one, two)
    true = phases.rows(ROWS, FIRST, FRAMES)
    off = missed(true, one)
    assert off.shape == true.shape
    assert not off[0, :, :2].any(), "where there is no sound there is no phase"
    turning, turned = (torch.complex(*x.transpose(1, 2).chunk(2, -1)) for x in (true, off))
    torch.testing.assert_close((turned * turning.conj())[1], one[1], atol=1e-5, rtol=1e-4)
    torch.testing.assert_close(missed(true, torch.ones_like(one)), true)


def test_phases_are_made_of_pitch_and_seeds_alone(pitch: Pitch) -> None:
    flow, seeds = Flow(SOVITS_SHAPE), torch.randn(1, 2, 12)
    for coupling in flow.flows.values():
        torch.nn.init.normal_(coupling.post.weight)
    with torch.no_grad():
        one, again, other = (made_phases(flow, steady(hertz, 12), seeds) for hertz in (170.0, 170.0, 190.0))
    assert one.shape == (1, 2 * PHASES_PER_FRAME, 12)
    assert torch.equal(one, again), "the texture is nothing to them"
    assert not torch.equal(one, other)
