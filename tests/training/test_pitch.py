"""Pitch of rows: on one scale for all voices, two values a frame, and never beyond a row."""

import numpy as np
import torch

from tests.training.conftest import entry
from voxswap_training.codes import Codebook
from voxswap_training.pack import Lines
from voxswap_training.phonemes import UNVOICED, semitones_at_frames
from voxswap_training.pitch import Pitch


def hertz(values: torch.Tensor) -> torch.Tensor:
    return 150.0 * 2 ** (values * 4.0 / 12.0)


def test_pitch_is_what_the_teacher_planned(lines: Lines, pitch: Pitch, codebook: Codebook) -> None:
    frames = len(lines.pitch[0])
    (found,) = pitch.rows(torch.tensor([0]), torch.tensor([0]), frames)
    wanted = 170.0 * 2 ** (semitones_at_frames(entry(0, "amber").pitch_hz, lines.classes[0], 170.0) / 12)
    voiced = ~np.isin(lines.classes[0], list(UNVOICED))
    inner = voiced & np.roll(voiced, 1) & np.roll(voiced, -1)
    assert inner.sum() > 5
    off = 12 * np.log2(hertz(found).mean(0).numpy() / wanted)
    assert np.abs(off[inner]).max() < 0.1, "semitones; pitch is kept in tenths"


def test_halves_of_a_frame_lie_a_quarter_from_its_middle(lines: Lines, codebook: Codebook) -> None:
    lines.pitch.values[:] = np.arange(len(lines.pitch.values)) % 100
    (found,) = Pitch(lines, codebook.medians_hz).rows(torch.tensor([0]), torch.tensor([2]), 3)
    tenths = (found * 4.0 - 12 * np.log2(170.0 / 150.0)) * 10
    torch.testing.assert_close(tenths, torch.tensor([[1.75, 2.75, 3.75], [2.25, 3.25, 4.25]]), atol=1e-3, rtol=0)


def test_beyond_a_row_its_last_value_goes_on(lines: Lines, pitch: Pitch) -> None:
    rows, frames = torch.tensor([1, 2]), len(lines.pitch[1])
    found = pitch.rows(rows, torch.tensor([-4, frames - 1]), frames + 10)
    alone = pitch.rows(torch.tensor([1]), torch.tensor([0]), frames)
    assert torch.equal(found[0, :, 4 : 4 + frames], alone[0])
    assert (found[0, :, :4] == alone[0, :, :1]).all()
    assert (found[0, :, 4 + frames :] == alone[0, :, -1:]).all()


def test_a_lower_voice_is_lower(pitch: Pitch) -> None:
    amber, onyx = (float(pitch.rows(torch.tensor([row]), torch.tensor([0]), 1).mean()) for row in (0, 1))
    assert amber > onyx
