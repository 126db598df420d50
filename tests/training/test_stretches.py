"""Stretches: frames and sound of the same place, true pitch in both kinds, zeros beyond an utterance."""

from pathlib import Path

import numpy as np
import pytest
import torch

from tests.training.test_export import SOVITS_SHAPE
from voxswap_training.channels import CHANNELS, PHASES_PER_FRAME
from voxswap_training.mel_frames import MelFrames, pitch_of, with_pitch
from voxswap_training.oscillator import Misses
from voxswap_training.pack import Lines
from voxswap_training.phases import Phases
from voxswap_training.pitch import Pitch
from voxswap_training.sound import RATE_HZ, Sound, resampled_counts
from voxswap_training.source import phases_of, spoken_of
from voxswap_training.stretches import EDGE_FRAMES, SaidStretches, TrueStretches
from voxswap_training.train_acoustic import Acoustic
from voxswap_training.utterances import FRAME_SAMPLES, Batch, Utterances

CPU = torch.device("cpu")
FRAMES = 6


@pytest.fixture
def counting(lines: Lines, tmp_path: Path) -> Sound:
    """Each sample is the number of its frame, counted through all rows."""
    counts = resampled_counts(lines, RATE_HZ)
    numbers = np.arange(counts.sum()) // FRAME_SAMPLES
    numbers.astype(np.int16).tofile(tmp_path / "counting")
    return Sound(tmp_path / "counting", counts, CPU)


def test_true_frames_are_of_the_sound_that_comes_with_them(
    lines: Lines, sound: Sound, pitch: Pitch, phases: Phases
) -> None:
    mel = MelFrames()
    rows = np.arange(lines.spoken)
    stretch = TrueStretches(rows, sound, pitch, phases, mel, gin=20, noise=0.0).draw(
        np.random.default_rng(0), 3, FRAMES
    )
    assert stretch.frames.shape == (3, CHANNELS, FRAMES + 2 * EDGE_FRAMES)
    assert stretch.samples.shape == (3, FRAMES * FRAME_SAMPLES)
    assert not stretch.speaker.any()
    again = mel(stretch.samples, torch.zeros(3, 2, FRAMES))[:, 1:-1, 1:-1]
    inner = spoken_of(stretch.frames)[:, 1:-1, EDGE_FRAMES + 1 : -EDGE_FRAMES - 1]
    torch.testing.assert_close(again, inner, atol=1e-4, rtol=1e-4)


def test_noise_spares_pitch_and_phase(lines: Lines, sound: Sound, pitch: Pitch, phases: Phases) -> None:
    rows = np.arange(lines.spoken)
    quiet, noisy = (
        TrueStretches(rows, sound, pitch, phases, MelFrames(), gin=20, noise=noise).draw(
            np.random.default_rng(0), 3, FRAMES
        )
        for noise in (0.0, 0.5)
    )
    assert torch.equal(pitch_of(quiet.frames), pitch_of(noisy.frames))
    assert torch.equal(phases_of(quiet.frames), phases_of(noisy.frames))
    assert not torch.equal(spoken_of(quiet.frames), spoken_of(noisy.frames))
    assert torch.equal(quiet.samples, noisy.samples)


class Numbering(Acoustic):
    """Says the number of the frame within its utterance, and nothing of pitch."""

    def forward(self, batch, *, dropout=0.0, corrupted_share=0.0):  # type: ignore[no-untyped-def]
        B, frames = len(batch.tokens), 2 * batch.tokens.shape[1]
        z = torch.arange(frames).expand(B, SOVITS_SHAPE.inter_channels, frames) + 100.0
        speaker = batch.phones[:, :1, None].expand(B, SOVITS_SHAPE.gin_channels, 1).float()
        return z, torch.ones(B, 1, frames), speaker

    def in_time(self, spoken: torch.Tensor, mask: torch.Tensor, batch: Batch) -> torch.Tensor:
        return with_pitch(spoken, batch.pitch)


class Halving(Misses):
    """All phases are half as long as they should be."""

    def __init__(self) -> None:
        pass

    def draw(self, rows: torch.Tensor, first: torch.Tensor, frames: int) -> torch.Tensor:
        assert rows.shape == first.shape
        return torch.full((len(rows), frames, PHASES_PER_FRAME), 0.5 + 0j)


def test_said_frames_belong_to_their_sound(lines: Lines, counting: Sound, pitch: Pitch, phases: Phases) -> None:
    utterances = Utterances(lines, counting, pitch, CPU, dev=False, seed=0)
    acoustic = Numbering(SOVITS_SHAPE, torch.zeros(1024, 24))
    said = SaidStretches(acoustic, utterances, lines, counting, phases, Halving(), corrupted_share=0.0)
    starts = np.cumsum(counting.counts.numpy()) - counting.counts.numpy()
    rng = np.random.default_rng(0)
    seen = set()
    for _ in range(20):
        stretch = said.draw(rng, 2, FRAMES)
        for frames, samples in zip(stretch.frames, stretch.samples, strict=True):
            middle = frames[1, EDGE_FRAMES:-EDGE_FRAMES] - 100
            counted = samples.view(FRAMES, FRAME_SAMPLES)[:, 0] * 32768
            first = counted - middle  # of the row, in frames from the first row on
            assert (first == first[0]).all()
            (row,) = np.flatnonzero(starts // FRAME_SAMPLES == int(first[0]))
            wanted = pitch.rows(torch.tensor([row]), middle[:1].long(), FRAMES)[0]
            found = pitch_of(frames[None])[0, :, EDGE_FRAMES:-EDGE_FRAMES]
            torch.testing.assert_close(found, wanted, atol=2e-3, rtol=2e-3)
            wanted = phases.rows(torch.tensor([row]), middle[:1].long(), FRAMES)[0] / 2
            assert torch.equal(phases_of(frames[None])[0, :, EDGE_FRAMES:-EDGE_FRAMES], wanted)
            for edge in (frames[1, :EDGE_FRAMES], frames[1, -EDGE_FRAMES:]):
                outside = edge == 0
                assert ((edge >= 100) | outside).all()
            seen.add((int(row), int(middle[0])))
    assert len({row for row, _ in seen}) > 3
    assert min(start for _, start in seen) == 0
    assert all(start + FRAMES <= len(lines.pitch[row]) for row, start in seen)
