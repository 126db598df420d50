import json
from pathlib import Path

import numpy as np
import pytest
import torch

from tests.training.test_export import SOVITS_SHAPE
from voxswap_training.discriminators import Discriminators, discriminator_loss, generator_losses
from voxswap_training.loop import Budget
from voxswap_training.pack import Lines
from voxswap_training.signal import MelFilter, mel_bank, spectrum
from voxswap_training.sound import RATE_HZ, Sound, resampled_counts
from voxswap_training.train_decoder import (
    FRAME_SAMPLES,
    DecoderSettings,
    DecoderTrainer,
    Trainee,
    Utterances,
    cut_slices,
)

CPU = torch.device("cpu")


@pytest.fixture
def sound(lines: Lines, tmp_path: Path) -> Sound:
    counts = resampled_counts(lines, RATE_HZ)
    tone = 9000 * np.sin(2 * np.pi * 220 * np.arange(counts.sum()) / RATE_HZ)
    tone.astype(np.int16).tofile(tmp_path / "sound")
    return Sound(tmp_path / "sound", counts, CPU)


def test_a_spectrum_has_a_frame_a_hop_and_finds_a_tone() -> None:
    tone = torch.sin(2 * torch.pi * 1000 * torch.arange(6400) / RATE_HZ)[None]
    found = spectrum(tone, 1024, 320, 1024, torch.hann_window(1024))
    assert found.shape == (1, 513, 20)
    assert found[0, :, 10].argmax() == 32  # 1000 Hz / (32000 Hz / 1024)


def test_every_band_of_the_bank_hears_something() -> None:
    bank = mel_bank(RATE_HZ, 1280, 80, 50.0, 12_000.0)
    assert bank.shape == (80, 641)
    assert (bank.sum(1) > 0).all()
    assert not bank[:, 500:].any()  # above 12.5 kHz


def test_the_reference_is_analysed_as_the_server_does() -> None:
    from voxswap_server.nn.reference import spectrum as served

    wave = torch.randn(1, 32_000)
    trainee = Trainee(SOVITS_SHAPE, torch.zeros(1024, 24))
    torch.testing.assert_close(trainee.reference(wave), served(wave), atol=1e-3, rtol=1e-3)


def test_slices_of_frames_and_samples_belong_together() -> None:
    frames = torch.arange(20.0).expand(3, 2, 20)
    samples = torch.arange(20.0).repeat_interleave(FRAME_SAMPLES).expand(3, -1)
    counts = torch.tensor([10, 10, 6])
    pieces, waves = cut_slices(frames, samples, counts, 4, torch.Generator().manual_seed(3))
    assert pieces.shape == (3, 2, 4 + 6)
    assert waves.shape == (3, 4 * FRAME_SAMPLES)
    for row in range(3):
        middle = pieces[row, 0, 3:7]
        assert waves[row].view(4, FRAME_SAMPLES).mean(1).tolist() == middle.tolist()
        assert float(middle[-1]) < 2 * counts[row]


@torch.no_grad()
def test_losses_are_nothing_for_the_truth() -> None:
    trainee = Trainee(SOVITS_SHAPE, torch.zeros(1024, 24))
    wave = torch.randn(2, 8 * FRAME_SAMPLES) * 0.1
    assert [float(loss) for loss in trainee.spectral_losses(wave, wave)] == [0.0, 0.0]
    assert all(float(loss) > 0.1 for loss in trainee.spectral_losses(torch.zeros_like(wave), wave))
    judges = Discriminators(2)
    said = judges(wave)
    passing, matching = generator_losses(said, said)
    assert float(matching) == 0
    assert len(said) == 8
    assert float(discriminator_loss(said, said)) > 0
    assert float(passing) > 0


def test_references_are_other_utterances_of_the_same_voice(lines: Lines, sound: Sound) -> None:
    lines.dev[6:8] = True
    utterances = Utterances(lines, sound, CPU, dev=False, seed=0)
    for row in range(6):
        for _ in range(5):
            mate = utterances._mate(row)
            assert mate != row
            assert mate < 6
            assert lines.voice[mate] == lines.voice[row]
    batch = next(utterances.batches(2))
    assert batch.samples.shape[1] == 2 * batch.tokens.shape[1] * FRAME_SAMPLES
    assert batch.reference.shape[1] % FRAME_SAMPLES == 0


def test_a_decoder_trains_with_judges_and_goes_on(lines: Lines, sound: Sound, tmp_path: Path) -> None:
    lines.dev[6:8] = True
    settings = DecoderSettings(batch=2, slice_frames=8, judge_width=2, judged_from=0.0, report_every=1)
    codebook = torch.randn(1024, 24, generator=torch.Generator().manual_seed(0))

    def run(minutes: float) -> DecoderTrainer:
        budget = Budget(total_minutes=0.1, run_minutes=minutes)
        trainer = DecoderTrainer(lines, sound, codebook, tmp_path, budget, settings, shape=SOVITS_SHAPE, device=CPU)
        trainer.run()
        return trainer

    first = run(0.03)
    before = [p.detach().clone() for p in first.trainee.parameters()]
    second = run(1.0)
    assert any(not torch.equal(a, b) for a, b in zip(before, second.trainee.parameters(), strict=True))
    rows = [json.loads(line) for line in (tmp_path / "decoder.jsonl").read_text().splitlines()]
    assert {"mel", "judges", "matching", "dev_mel"} <= rows[0].keys()
    assert all(np.isfinite(list(row.values())).all() for row in rows)
    assert rows[-1]["step"] > rows[0]["step"]


def test_mel_filter_follows_level() -> None:
    mel = MelFilter(rate_hz=RATE_HZ, fft_samples=1280, hop_samples=320, bands=80)
    wave = torch.randn(1, 6400) * 0.1
    difference = mel(2 * wave) - mel(wave)
    assert float((difference - np.log(2)).abs().max()) < 0.01
