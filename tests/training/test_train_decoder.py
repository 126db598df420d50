"""The decoder's three stages: each learns by itself, goes on where it was, and the last puts the first two together."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from tests.training.test_export import SOVITS_SHAPE
from voxswap_training.loop import Budget
from voxswap_training.pack import Lines
from voxswap_training.sound import Sound
from voxswap_training.train_acoustic import Acoustic, AcousticSettings, AcousticTrainer
from voxswap_training.train_decoder import DecoderSettings, DecoderTrainer, Halves
from voxswap_training.train_vocoder import VocoderSettings, VocoderTrainer

FEW = 0.06
"""Minutes of a run: a step a second."""
CPU = torch.device("cpu")
CODEBOOK = torch.randn(1024, 24, generator=torch.Generator().manual_seed(0))


def rows(file: Path) -> list[Mapping[str, Any]]:
    found = [json.loads(line) for line in file.read_text().splitlines()]
    assert all(np.isfinite(list(row.values())).all() for row in found)
    return found


@pytest.fixture
def held_out(lines: Lines) -> Lines:
    lines.dev[6:8] = True
    return lines


def train_acoustic(lines: Lines, sound: Sound, folder: Path, minutes: float) -> AcousticTrainer:
    settings = AcousticSettings(batch=2, report_every=1)
    budget = Budget(total_minutes=0.1, run_minutes=minutes)
    trainer = AcousticTrainer(lines, sound, CODEBOOK, folder, budget, settings, shape=SOVITS_SHAPE, device=CPU)
    trainer.run()
    return trainer


def train_vocoder(lines: Lines, sound: Sound, folder: Path, minutes: float) -> VocoderTrainer:
    settings = VocoderSettings(batch=2, slice_frames=6, judge_width=2, judged_from=0.0, report_every=1)
    budget = Budget(total_minutes=0.1, run_minutes=minutes)
    trainer = VocoderTrainer(lines, sound, folder, budget, settings, shape=SOVITS_SHAPE, device=CPU)
    trainer.run()
    return trainer


def test_the_reference_is_analysed_as_the_server_does() -> None:
    from voxswap_server.nn.reference import spectrum as served

    wave = torch.randn(1, 32_000)
    acoustic = Acoustic(SOVITS_SHAPE, torch.zeros(1024, 24))
    torch.testing.assert_close(acoustic.reference(wave), served(wave), atol=1e-3, rtol=1e-3)


def test_only_real_frames_count_as_distance() -> None:
    acoustic = Acoustic(SOVITS_SHAPE, CODEBOOK)
    samples = torch.randn(1, 8 * 640) * 0.1
    true = acoustic.mel(samples)
    mask = torch.ones(1, 1, 8)
    assert float(acoustic.distance(true, mask, samples)) == 0
    mask[..., 6:] = 0
    wrong = true.clone()
    wrong[..., 6:] += 5
    assert float(acoustic.distance(wrong, mask, samples)) == 0
    assert float(acoustic.distance(true + 1, mask, samples)) == pytest.approx(1)


def test_the_acoustic_half_learns_and_goes_on(held_out: Lines, sound: Sound, tmp_path: Path) -> None:
    first = train_acoustic(held_out, sound, tmp_path, FEW)
    before = [p.detach().clone() for p in first.acoustic.decoder.enc_p.parameters()]
    second = train_acoustic(held_out, sound, tmp_path, 1.0)
    after = second.acoustic.decoder.enc_p.parameters()
    assert any(not torch.equal(a, b) for a, b in zip(before, after, strict=True))
    found = rows(tmp_path / "acoustic.jsonl")
    assert {"distance", "dev_distance"} <= found[0].keys()
    before = second._measure()["dev_distance"]
    for _ in range(25):
        second._step(10.0)
    assert second._measure()["dev_distance"] < 0.8 * before, "one tone is soon learnt"


def test_the_vocoder_learns_with_its_judges_and_goes_on(held_out: Lines, sound: Sound, tmp_path: Path) -> None:
    first = train_vocoder(held_out, sound, tmp_path, FEW)
    before = [p.detach().clone() for p in first.generator.parameters()]
    second = train_vocoder(held_out, sound, tmp_path, 1.0)
    assert any(not torch.equal(a, b) for a, b in zip(before, second.generator.parameters(), strict=True))
    found = rows(tmp_path / "vocoder.jsonl")
    assert {"mel", "stft", "judges", "passing", "matching", "dev_mel"} <= found[0].keys()
    assert found[-1]["step"] > found[0]["step"]


def test_the_decoder_starts_from_both_and_goes_on_by_itself(held_out: Lines, sound: Sound, tmp_path: Path) -> None:
    for half in ("acoustic", "vocoder"):
        (tmp_path / half).mkdir()
    acoustic = train_acoustic(held_out, sound, tmp_path / "acoustic", FEW).acoustic
    vocoder = train_vocoder(held_out, sound, tmp_path / "vocoder", FEW).generator
    halves = Halves(tmp_path / "acoustic" / "acoustic.pt", tmp_path / "vocoder" / "vocoder.pt")
    settings = DecoderSettings(batch=2, slices=2, slice_frames=6, judge_width=2, report_every=1)

    def joined(minutes: float) -> DecoderTrainer:
        budget = Budget(total_minutes=0.1, run_minutes=minutes)
        folder = tmp_path / "decoder"
        return DecoderTrainer(
            held_out, sound, CODEBOOK, folder, budget, settings, halves=halves, shape=SOVITS_SHAPE, device=CPU
        )

    trainer = joined(FEW)
    decoder = trainer.acoustic.decoder
    assert torch.equal(decoder.enc_p.proj.weight, acoustic.decoder.enc_p.proj.weight)
    assert torch.equal(decoder.dec.conv_pre.weight, vocoder.conv_pre.weight)
    (tmp_path / "decoder").mkdir()
    before = trainer.run().dec.conv_post.weight.detach().clone()
    halves.acoustic.unlink()
    again = joined(1.0)
    assert torch.equal(again.acoustic.decoder.dec.conv_post.weight, before)
    again.run()
    found = rows(tmp_path / "decoder" / "decoder.jsonl")
    assert {"mel", "judges", "dev_mel"} <= found[0].keys()
    assert found[-1]["step"] > found[0]["step"]
    assert not torch.equal(again.acoustic.decoder.dec.conv_post.weight, before)
    assert torch.equal(again.acoustic.decoder.enc_p.proj.weight, acoustic.decoder.enc_p.proj.weight), "the prior stays"
