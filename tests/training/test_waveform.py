"""Spectra, mel frames and discriminators: nothing is lost on the truth, and everything else is seen."""

import numpy as np
import pytest
import torch

from voxswap_training.channels import BANDS, SPOKEN_CHANNELS
from voxswap_training.discriminators import Discriminators, discriminator_loss, generator_losses
from voxswap_training.mel_frames import MelFrames, pitch_of, with_pitch
from voxswap_training.signal import MelFilter, mel_bank, spectrum
from voxswap_training.sound import RATE_HZ
from voxswap_training.utterances import FRAME_SAMPLES
from voxswap_training.waveform import Adversary, Spectra, waveform_loss

CPU = torch.device("cpu")


def tone(hz: float, samples: int) -> torch.Tensor:
    return 0.3 * torch.sin(2 * torch.pi * hz * torch.arange(samples) / RATE_HZ)[None]


def test_a_spectrum_has_a_frame_a_hop_and_finds_a_tone() -> None:
    found = spectrum(tone(1000, 6400), 1024, 320, 1024, torch.hann_window(1024))
    assert found.shape == (1, 513, 20)
    assert found[0, :, 10].argmax() == 32  # 1000 Hz / (32000 Hz / 1024)


def test_every_band_of_the_bank_hears_something() -> None:
    bank = mel_bank(RATE_HZ, 1280, 80, 50.0, 12_000.0)
    assert bank.shape == (80, 641)
    assert (bank.sum(1) > 0).all()
    assert not bank[:, 500:].any()  # above 12.5 kHz


def test_mel_filter_follows_level() -> None:
    mel = MelFilter(rate_hz=RATE_HZ, fft_samples=1280, hop_samples=320, bands=80)
    wave = torch.randn(1, 6400) * 0.1
    difference = mel(2 * wave) - mel(wave)
    assert float((difference - np.log(2)).abs().max()) < 0.01


def test_a_frame_is_two_spectra_the_earlier_first_with_their_pitch_at_the_ends() -> None:
    mel = MelFrames()
    wave = torch.cat([tone(500, 2 * FRAME_SAMPLES), tone(4000, 2 * FRAME_SAMPLES)], 1)
    pitch = torch.arange(8.0).view(1, 2, 4)
    frames, log = mel(wave, pitch), mel.log(wave)
    assert frames.shape == (1, SPOKEN_CHANNELS, 4)
    for frame in range(4):
        for half in range(2):
            part = frames[0, 1 + half * BANDS : 1 + (half + 1) * BANDS, frame]
            assert part.argmax() == log[0, :, 2 * frame + half].argmax()
    assert torch.equal(pitch_of(frames), pitch)
    higher = with_pitch(frames, pitch + 1)
    assert torch.equal(pitch_of(higher), pitch + 1)
    assert torch.equal(higher[:, 1:-1], frames[:, 1:-1])
    quiet = mel(torch.zeros(1, FRAME_SAMPLES), torch.zeros(1, 2, 1))
    assert float(quiet.min()) == pytest.approx((-7.0 + 2.0) / 3.0)


@torch.no_grad()
def test_losses_are_nothing_for_the_truth() -> None:
    spectra = Spectra()
    wave = torch.randn(2, 8 * FRAME_SAMPLES) * 0.1
    assert not any(float(loss) > 1e-3 for loss in spectra(wave, wave).values())
    assert all(float(loss) > 0.1 for loss in spectra(torch.zeros_like(wave), wave).values())
    judges = Discriminators(2)
    said = judges(wave)
    passing, matching = generator_losses(said, said)
    assert float(matching) == 0
    assert len(said) == 8
    assert float(discriminator_loss(said, said)) > 0
    assert float(passing) > 0


@torch.no_grad()
def test_only_one_loss_hears_a_phase() -> None:
    spectra = Spectra()
    wave = torch.randn(2, 8 * FRAME_SAMPLES) * 0.1
    found = spectra(-wave, wave)
    assert float(found["phase"]) == pytest.approx(2.0, rel=1e-3)
    assert float(found["mel"]) == float(found["stft"]) == pytest.approx(0.0, abs=1e-4)


def test_the_adversary_learns_to_tell_and_the_generator_feels_it() -> None:
    torch.manual_seed(0)
    adversary, spectra = Adversary(Discriminators(2), 1e-2, CPU), Spectra()
    true = tone(300, 8 * FRAME_SAMPLES).repeat(2, 1)
    made = (0.1 * torch.randn(2, 8 * FRAME_SAMPLES)).requires_grad_()
    plain, found = waveform_loss(made, true, spectra, None)
    assert found.keys() == {"mel", "stft", "phase"}
    losses = [adversary.judge(made, true)["judges"].item() for _ in range(12)]
    assert losses[-1] < losses[0]
    whole, found = waveform_loss(made, true, spectra, adversary)
    assert {"judges", "passing", "matching"} <= found.keys()
    assert whole.item() > plain.item()
    (gradient,) = torch.autograd.grad(whole, made)
    assert bool(gradient.abs().sum() > 0)
    assert all(parameter.requires_grad for parameter in adversary.judges.parameters())
