"""Envelopes: steps in their order, harmonics left out, and a judge that learns what speech is like."""

import torch

from voxswap_training.channels import BANDS, PER_FRAME, SPOKEN_CHANNELS
from voxswap_training.envelopes import CEPSTRA, EnvelopeJudge, cosines, from_steps, in_steps
from voxswap_training.mel_frames import MelFrames, pitch_of
from voxswap_training.sound import RATE_HZ
from voxswap_training.waveform import Adversary

FRAMES = 30


def test_steps_are_the_spectra_in_time() -> None:
    samples = torch.randn(2, FRAMES * RATE_HZ // 50)
    mel = MelFrames()
    frames = mel(samples, torch.zeros(2, PER_FRAME, FRAMES))
    steps = in_steps(frames)
    assert frames.shape[1] == SPOKEN_CHANNELS
    assert steps.shape == (2, BANDS, PER_FRAME * FRAMES)
    log = mel.log(samples)
    loud = log > -6.9  # what is quieter is not told in frames
    scaled = (steps - steps.mean()) / steps.std()
    wanted = (log - log.mean()) / log.std()
    assert loud.float().mean() > 0.9
    torch.testing.assert_close(scaled[loud], wanted[loud], atol=0.1, rtol=0.1)


def test_frames_are_put_together_again() -> None:
    spoken = torch.randn(2, SPOKEN_CHANNELS, FRAMES)
    assert torch.equal(from_steps(in_steps(spoken), pitch_of(spoken)), spoken)


def test_cepstra_keep_the_course_and_lose_the_stripes() -> None:
    rows = cosines()
    assert rows.shape == (CEPSTRA, BANDS)
    torch.testing.assert_close(rows @ rows.T, torch.eye(CEPSTRA), atol=1e-5, rtol=0)
    band = torch.arange(BANDS) / BANDS
    course, stripes = torch.cos(2 * torch.pi * band), torch.cos(2 * torch.pi * 16 * band)
    kept = rows.T @ (rows @ torch.stack([course, stripes], 1))
    torch.testing.assert_close(kept[4:-4, 0], course[4:-4], atol=0.05, rtol=0)
    assert kept[4:-4, 1].abs().max() < 0.2


def test_a_judge_learns_to_tell_blurred_courses_from_true_ones() -> None:
    torch.manual_seed(0)
    adversary = Adversary(EnvelopeJudge(4), 3e-3, torch.device("cpu"))
    kernel = torch.ones(1, 1, 1, 7) / 7

    def courses() -> tuple[torch.Tensor, torch.Tensor]:
        true = torch.randn(4, BANDS, 60).sign()
        return torch.nn.functional.conv2d(true[:, None], kernel, padding=(0, 3))[:, 0], true

    losses = [adversary.judge(*courses())["judges"].item() for _ in range(80)]
    assert losses[-1] < 0.5 * losses[0]
    blurred, true = courses()
    with torch.no_grad():
        ((made, _),), ((real, _),) = adversary.judges(blurred), adversary.judges(true)
    assert real.mean() > made.mean() + 0.3
