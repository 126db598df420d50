"""The source's channels: where each lies, who may hear it, and that a phase can be made of noise and pitch."""

import json
from pathlib import Path

import pytest
import torch

from tests.training.test_export import SOVITS_SHAPE
from voxswap_training.channels import (
    CHANNELS,
    EARLIER,
    HEARD,
    LATER,
    NOISE,
    PHASES,
    PITCH,
    SEEDS,
    SPOKEN,
    SPOKEN_CHANNELS,
    STATES,
    TEXTURE,
)
from voxswap_training.flow import SOURCE_COUPLINGS, Flow
from voxswap_training.generator import Generator
from voxswap_training.loop import Budget, adamw
from voxswap_training.mel_frames import pitch_of, with_pitch
from voxswap_training.pack import Lines
from voxswap_training.pitch import Pitch, hertz_of, within
from voxswap_training.source import phases_of, spoken_of, with_source
from voxswap_training.sovits import TrainableSovits
from voxswap_training.train_source import SourceSettings, SourceTrainer

CPU = torch.device("cpu")
FRAMES = 12


def test_channels_lie_side_by_side_with_the_source_in_the_middle() -> None:
    parts = (EARLIER, STATES, TEXTURE, SEEDS, PHASES, LATER)
    assert [channel for part in parts for channel in part] == list(range(CHANNELS))
    assert len(EARLIER) + len(STATES) + len(TEXTURE) == CHANNELS // 2, "halves are as long"
    assert len(SPOKEN) == SPOKEN_CHANNELS
    assert not HEARD & {*STATES, *SEEDS}


def test_what_is_put_in_comes_out() -> None:
    spoken, phases = torch.randn(2, SPOKEN_CHANNELS, FRAMES), torch.randn(2, len(PHASES), FRAMES)
    seeds = torch.randn(2, len(SEEDS), FRAMES)
    whole = with_source(spoken, phases, seeds=seeds)
    assert whole.shape == (2, CHANNELS, FRAMES)
    assert torch.equal(spoken_of(whole), spoken)
    assert torch.equal(phases_of(whole), phases)
    assert torch.equal(whole[:, list(SEEDS)], seeds)
    assert not with_source(spoken, phases)[:, [*STATES, *SEEDS]].any()
    assert not torch.equal(whole[:, list(TEXTURE)], with_source(spoken, phases)[:, list(TEXTURE)])


@pytest.fixture
def sovits() -> TrainableSovits:
    torch.manual_seed(0)
    decoder = TrainableSovits(SOVITS_SHAPE, torch.randn(1024, 24))
    optimiser = adamw(decoder, 0.01, decay=0.01, betas=(0.8, 0.99))
    for _ in range(3):  # whoever trains everything at once confuses nothing
        z, _, _ = frames_of(decoder)
        decoder.dec(z, torch.zeros(1, SOVITS_SHAPE.gin_channels, 1)).sum().backward()
        optimiser.step()
    return decoder.eval()


def frames_of(decoder: TrainableSovits, noise: torch.Tensor | None = None) -> tuple[torch.Tensor, ...]:
    tokens, phones = torch.arange(FRAMES // 2)[None], torch.arange(4)[None]
    speaker = torch.ones(1, SOVITS_SHAPE.gin_channels, 1)
    z, mask = decoder.frames(tokens, torch.tensor([FRAMES // 2]), phones, torch.tensor([4]), speaker, noise=noise)
    return z, mask, speaker


def test_the_source_does_not_touch_what_is_said(sovits: TrainableSovits) -> None:
    noise = torch.randn(1, CHANNELS, FRAMES)
    other = noise.clone()
    other[:, list(NOISE)] += 1
    with torch.no_grad():
        one, two = (frames_of(sovits, drawn)[0] for drawn in (noise, other))
    assert torch.equal(spoken_of(one), spoken_of(two))
    assert not torch.equal(phases_of(one), phases_of(two))
    torch.testing.assert_close(one[:, list(TEXTURE)], noise[:, list(TEXTURE)], atol=1e-5, rtol=1e-5)


def test_a_phase_depends_on_pitch_and_seeds_alone(sovits: TrainableSovits) -> None:
    flow, mask = sovits.flow, torch.ones(1, 1, FRAMES)
    z = torch.randn(1, CHANNELS, FRAMES)
    spectra = [*(SPOKEN - PITCH), *TEXTURE]
    last = Flow(SOVITS_SHAPE)
    last.load_state_dict(flow.state_dict())
    for index in range(SOURCE_COUPLINGS, SOVITS_SHAPE.couplings):
        del last.flows[str(2 * index)]
    with torch.no_grad():
        before = phases_of(last(z, mask, torch.ones(1, SOVITS_SHAPE.gin_channels, 1)))
        z[:, spectra] += 1
        speakers = torch.zeros(1, SOVITS_SHAPE.gin_channels, 1)
        assert torch.equal(phases_of(last(z, mask, speakers)), before), "nor on who speaks"
        z[:, 0] += 1
        assert not torch.equal(phases_of(last(z, mask, speakers)), before)


def test_the_generator_hears_neither_seeds_nor_states(sovits: TrainableSovits) -> None:
    generator: Generator = sovits.dec
    z, speaker = torch.randn(1, CHANNELS, FRAMES), torch.zeros(1, SOVITS_SHAPE.gin_channels, 1)
    with torch.no_grad():
        before = generator(z, speaker)
        z[:, [*STATES, *SEEDS]] = 9.0
        assert torch.equal(generator(z, speaker), before)
        z[:, list(PHASES)] = 9.0
        assert not torch.equal(generator(z, speaker), before)


def test_pitch_is_kept_within_a_range() -> None:
    pitch = torch.tensor([[-9.0, 0.0, 9.0]])
    found = hertz_of(within(pitch, 65.0, 400.0))
    torch.testing.assert_close(found, torch.tensor([[65.0, 150.0, 400.0]]))


def test_couplings_learn_to_make_phases_and_go_on(lines: Lines, pitch: Pitch, tmp_path: Path) -> None:
    lines.dev[6:8] = True
    settings = SourceSettings(batch=8, frames=24, reach=1, report_every=1)

    def trained(minutes: float) -> SourceTrainer:
        budget, dev = Budget(total_minutes=0.15, run_minutes=minutes), lines.dev[: lines.spoken]
        trainer = SourceTrainer(pitch, dev, tmp_path, budget, settings, shape=SOVITS_SHAPE, device=CPU)
        trainer.run()
        return trainer

    first = trained(0.05)
    before = [parameter.detach().clone() for parameter in first.flow.parameters()]
    again = trained(1.0)
    assert any(not torch.equal(a, b) for a, b in zip(before, again.flow.parameters(), strict=True))
    found = [json.loads(line) for line in (tmp_path / "source.jsonl").read_text().splitlines()]
    assert {"distance", "slip", "dev_distance", "dev_unsteady_made", "dev_unsteady_wanted"} <= found[0].keys()
    start = again._measure()["dev_distance"]
    for _ in range(60):
        again._step(10.0)
    assert again._measure()["dev_distance"] < 0.9 * start
    names = {name for name, _ in Flow(SOVITS_SHAPE).named_parameters()}
    assert {name for name, _ in again.flow.named_parameters()} < names, "they take their place in the whole flow"


def test_pitch_and_spectra_stay_when_pitch_is_replaced() -> None:
    frames = with_source(torch.randn(1, SPOKEN_CHANNELS, 3), torch.zeros(1, len(PHASES), 3))
    pitch = torch.ones(1, 2, 3)
    told = with_pitch(frames, pitch)
    assert torch.equal(pitch_of(told), pitch)
    assert torch.equal(told[:, 1:-1], frames[:, 1:-1])
