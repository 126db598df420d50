"""Batches of utterances: what belongs together stays together, and references are others of the same voice."""

import numpy as np
import torch

from voxswap_training.pack import Lines
from voxswap_training.sound import Sound
from voxswap_training.utterances import EDGE_FRAMES, FRAME_SAMPLES, Utterances, _odds, cut_slices

CPU = torch.device("cpu")


def test_slices_of_frames_and_samples_belong_together() -> None:
    frames = torch.arange(20.0).expand(3, 2, 20)
    samples = torch.arange(20.0).repeat_interleave(FRAME_SAMPLES).expand(3, -1)
    counts = torch.tensor([10, 10, 6])
    pieces, waves = cut_slices(frames, samples, counts, 4, torch.Generator().manual_seed(3))
    assert pieces.shape == (3, 2, 4 + 2 * EDGE_FRAMES)
    assert waves.shape == (3, 4 * FRAME_SAMPLES)
    for row in range(3):
        middle = pieces[row, 0, EDGE_FRAMES:-EDGE_FRAMES]
        assert waves[row].view(4, FRAME_SAMPLES).mean(1).tolist() == middle.tolist()
        assert float(middle[-1]) < 2 * counts[row]


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


def test_frequent_voices_get_their_share() -> None:
    frequent = np.array([True, True, False, False, False, False])
    odds = _odds(frequent, 0.8)
    assert odds is not None
    np.testing.assert_allclose(odds, [0.4, 0.4, 0.05, 0.05, 0.05, 0.05])
    assert _odds(frequent, None) is None
    assert _odds(np.ones(3, bool), 0.8) is None
