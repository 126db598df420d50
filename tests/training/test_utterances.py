"""Batches of utterances: what belongs together stays together, and references are others of the same voice."""

import numpy as np
import torch

from voxswap_training.pack import Lines
from voxswap_training.pitch import Pitch
from voxswap_training.sound import Sound
from voxswap_training.utterances import FRAME_SAMPLES, Utterances, odds_of

CPU = torch.device("cpu")


def test_references_are_other_utterances_of_the_same_voice(lines: Lines, sound: Sound, pitch: Pitch) -> None:
    lines.dev[6:8] = True
    utterances = Utterances(lines, sound, pitch, CPU, dev=False, seed=0)
    for row in range(6):
        for _ in range(5):
            mate = utterances._mate(row)
            assert mate != row
            assert mate < 6
            assert lines.voice[mate] == lines.voice[row]
    batch = next(utterances.batches(2))
    assert batch.samples.shape[1] == 2 * batch.tokens.shape[1] * FRAME_SAMPLES
    assert batch.pitch.shape == (2, 2, 2 * batch.tokens.shape[1])
    assert batch.reference.shape[1] % FRAME_SAMPLES == 0


def test_frequent_voices_get_their_share() -> None:
    frequent = np.array([True, True, False, False, False, False])
    odds = odds_of(frequent, 0.8)
    assert odds is not None
    np.testing.assert_allclose(odds, [0.4, 0.4, 0.05, 0.05, 0.05, 0.05])
    assert odds_of(frequent, None) is None
    assert odds_of(np.ones(3, bool), 0.8) is None
