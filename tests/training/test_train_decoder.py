"""The decoder's three stages: each learns by itself, goes on where it was, and the last puts the first two together."""

import json
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from tests.training.test_export import SOVITS_SHAPE
from voxswap_training import train_decoder, train_vocoder
from voxswap_training.channels import BANDS, PHASES
from voxswap_training.envelopes import CEPSTRA
from voxswap_training.flow import SOURCE_COUPLINGS, Flow
from voxswap_training.generator import Generator
from voxswap_training.loop import Budget
from voxswap_training.pack import Lines
from voxswap_training.pitch import Pitch
from voxswap_training.sound import Sound
from voxswap_training.source import with_source
from voxswap_training.sovits import TrainableSovits
from voxswap_training.train_acoustic import Acoustic, AcousticSettings, AcousticTrainer
from voxswap_training.train_decoder import Parts
from voxswap_training.train_generator import GeneratorSettings
from voxswap_training.utterances import Utterances

FEW = 0.06
"""Minutes of a run: a step a second."""
CPU = torch.device("cpu")
GENERATOR = GeneratorSettings(batch=2, slice_frames=6, judge_width=2, judged_from=0.0, report_every=1)
CODEBOOK = torch.randn(1024, 24, generator=torch.Generator().manual_seed(0))


def rows(file: Path) -> list[Mapping[str, Any]]:
    found = [json.loads(line) for line in file.read_text().splitlines()]
    assert all(np.isfinite(list(row.values())).all() for row in found)
    return found


@pytest.fixture
def held_out(lines: Lines) -> Lines:
    lines.dev[6:8] = True
    return lines


@pytest.fixture
def source(tmp_path: Path) -> Path:
    """Couplings that have learnt nothing."""
    flow = Flow(replace(SOVITS_SHAPE, couplings=SOURCE_COUPLINGS))
    torch.save({"network": flow.state_dict()}, tmp_path / "source.pt")
    return tmp_path / "source.pt"


def train_acoustic(lines: Lines, sound: Sound, pitch: Pitch, folder: Path, minutes: float) -> AcousticTrainer:
    settings = AcousticSettings(batch=2, report_every=1, judged_from=0.4)
    budget = Budget(total_minutes=0.1, run_minutes=minutes)
    trainer = AcousticTrainer(lines, sound, pitch, CODEBOOK, folder, budget, settings, shape=SOVITS_SHAPE, device=CPU)
    trainer.run()
    return trainer


def trained_vocoder(lines: Lines, sound: Sound, pitch: Pitch, folder: Path, minutes: float) -> Generator:
    budget = Budget(total_minutes=0.1, run_minutes=minutes)
    return train_vocoder.train(lines, sound, pitch, folder, budget, GENERATOR, shape=SOVITS_SHAPE, device=CPU)


def test_the_reference_is_analysed_as_the_server_does() -> None:
    from voxswap_server.nn.reference import spectrum as served

    wave = torch.randn(1, 32_000)
    acoustic = Acoustic(SOVITS_SHAPE, torch.zeros(1024, 24))
    torch.testing.assert_close(acoustic.reference(wave), served(wave), atol=1e-3, rtol=1e-3)


def test_only_real_frames_count_as_distance(held_out: Lines, sound: Sound, pitch: Pitch) -> None:
    acoustic = Acoustic(SOVITS_SHAPE, CODEBOOK)
    batch = Utterances(held_out, sound, pitch, CPU, dev=False, seed=0).batch(np.array([0]))
    true = with_source(acoustic.mel(batch.samples, batch.pitch), torch.zeros(1, len(PHASES), batch.pitch.shape[2]))
    mask = torch.ones(1, 1, true.shape[2])

    def distances(z: torch.Tensor) -> list[float]:
        return [float(x) for x in acoustic.compared(z, mask, batch).distances]

    assert distances(true) == [0, 0, 0]
    mask[..., 6:] = 0
    wrong = true.clone()
    wrong[..., 6:] += 5
    assert distances(wrong) == [0, 0, 0]
    louder = true.clone()
    louder[:, 1:-1] += 1  # the first of the cosines is as long as all bands, the others are not moved
    assert distances(louder) == pytest.approx([1, BANDS**0.5 / CEPSTRA, 0], rel=0.3)
    higher = true.clone()
    higher[:, [0, -1]] += 2
    assert distances(higher) == pytest.approx([0, 0, 2])


def test_what_comes_late_is_put_where_it_sounds(held_out: Lines, sound: Sound, pitch: Pitch) -> None:
    acoustic = Acoustic(SOVITS_SHAPE, CODEBOOK)
    batch = Utterances(held_out, sound, pitch, CPU, dev=False, seed=0).batch(np.array([0]))
    samples = torch.zeros_like(batch.samples)
    samples[:, 5 * 640 : 8 * 640] = batch.samples[:, 5 * 640 : 8 * 640]
    batch = replace(batch, samples=samples)
    true = acoustic.mel(batch.samples, batch.pitch)
    late = true.roll(1, 2)
    mask = torch.ones(1, 1, true.shape[2])
    found = acoustic.in_time(late, mask, batch)
    assert torch.equal(found[:, [0, -1]], true[:, [0, -1]]), "the pitch is the true one"
    assert (found - true).abs().mean() < 0.1 * (late - true).abs().mean()


def test_the_acoustic_half_learns_and_goes_on(held_out: Lines, sound: Sound, pitch: Pitch, tmp_path: Path) -> None:
    first = train_acoustic(held_out, sound, pitch, tmp_path, FEW)
    before = [p.detach().clone() for p in first.acoustic.decoder.enc_p.parameters()]
    second = train_acoustic(held_out, sound, pitch, tmp_path, 1.0)
    after = second.acoustic.decoder.enc_p.parameters()
    assert any(not torch.equal(a, b) for a, b in zip(before, after, strict=True))
    found = rows(tmp_path / "acoustic.jsonl")
    plain = {"spectra", "envelope", "pitch", "dev_spectra", "dev_envelope", "dev_pitch"}
    assert plain <= found[0].keys()
    assert "judges" not in found[0], "at first nothing is alike"
    before = second._measure()["dev_spectra"]
    for _ in range(25):
        told = second._step(10.0)
    assert {"judges", "passing", "matching"} <= told.keys()
    assert second._measure()["dev_spectra"] < 0.8 * before, "one tone is soon learnt"


def test_the_vocoder_learns_with_its_judges_and_goes_on(
    held_out: Lines, sound: Sound, pitch: Pitch, tmp_path: Path
) -> None:
    first = trained_vocoder(held_out, sound, pitch, tmp_path, FEW)
    before = [p.detach().clone() for p in first.parameters()]
    second = trained_vocoder(held_out, sound, pitch, tmp_path, 1.0)
    assert any(not torch.equal(a, b) for a, b in zip(before, second.parameters(), strict=True))
    found = rows(tmp_path / "vocoder.jsonl")
    assert {"mel", "stft", "phase", "judges", "passing", "matching", "dev_mel", "dev_phase"} <= found[0].keys()
    assert found[-1]["step"] > found[0]["step"]


def test_the_decoder_starts_from_both_and_goes_on_by_itself(
    held_out: Lines, sound: Sound, pitch: Pitch, source: Path, tmp_path: Path
) -> None:
    for half in ("acoustic", "vocoder"):
        (tmp_path / half).mkdir()
    acoustic = train_acoustic(held_out, sound, pitch, tmp_path / "acoustic", FEW).acoustic
    vocoder = trained_vocoder(held_out, sound, pitch, tmp_path / "vocoder", FEW)
    parts = Parts(tmp_path / "acoustic" / "acoustic.pt", tmp_path / "vocoder" / "vocoder.pt", source)

    def decoder(name: str, minutes: float, parts: Parts = parts) -> TrainableSovits:
        budget, folder = Budget(total_minutes=0.1, run_minutes=minutes), tmp_path / name
        folder.mkdir(exist_ok=True)
        return train_decoder.train(
            held_out, sound, pitch, CODEBOOK, folder, budget, GENERATOR, parts=parts, shape=SOVITS_SHAPE, device=CPU
        )

    same = decoder("unspent", 0.0)
    assert torch.equal(same.enc_p.proj.weight, acoustic.decoder.enc_p.proj.weight)
    assert torch.equal(same.dec.conv_pre.weight, vocoder.conv_pre.weight)
    before = decoder("decoder", FEW).dec.conv_post.weight.detach().clone()
    parts.acoustic.unlink()
    again = decoder("decoder", 1.0)
    found = rows(tmp_path / "decoder" / "decoder.jsonl")
    assert {"mel", "judges", "dev_mel"} <= found[0].keys()
    assert found[-1]["step"] > found[0]["step"]
    assert not torch.equal(again.dec.conv_post.weight, before)
    assert torch.equal(again.enc_p.proj.weight, acoustic.decoder.enc_p.proj.weight), "the prior stays"


def test_a_decoder_can_begin_from_another_with_a_better_prior(
    held_out: Lines, sound: Sound, pitch: Pitch, source: Path, tmp_path: Path
) -> None:
    first = train_acoustic(held_out, sound, pitch, tmp_path, FEW).acoustic
    trained_vocoder(held_out, sound, pitch, tmp_path, FEW)
    budget, shape = Budget(total_minutes=0.1, run_minutes=FEW), SOVITS_SHAPE
    parts = Parts(tmp_path / "acoustic.pt", tmp_path / "vocoder.pt", source)
    old = train_decoder.train(
        held_out, sound, pitch, CODEBOOK, tmp_path, budget, GENERATOR, parts=parts, shape=shape, device=CPU
    )
    better = train_acoustic(held_out, sound, pitch, tmp_path, 1.0).acoustic
    (tmp_path / "new").mkdir()
    parts, budget = Parts(tmp_path / "acoustic.pt", tmp_path / "decoder.pt", source), Budget(0.1, 0.0)
    new = train_decoder.train(
        held_out, sound, pitch, CODEBOOK, tmp_path / "new", budget, GENERATOR, parts=parts, shape=shape, device=CPU
    )
    assert torch.equal(new.dec.conv_post.weight, old.dec.conv_post.weight)
    assert torch.equal(new.enc_p.proj.weight, better.decoder.enc_p.proj.weight)
    assert not torch.equal(new.enc_p.proj.weight, first.decoder.enc_p.proj.weight)
