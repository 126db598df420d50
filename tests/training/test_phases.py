"""The measured phase: that of the fundamental, whatever else sounds."""

import numpy as np
import pytest
import torch

from voxswap_training.channels import PHASES_PER_FRAME
from voxswap_training.phases import Phases, fundamental_phase
from voxswap_training.pitch import Pitch, hertz_of
from voxswap_training.sound import RATE_HZ, Sound
from voxswap_training.utterances import FRAME_SAMPLES

FRAMES = 40
MIDDLES = (np.arange(FRAMES * PHASES_PER_FRAME) + 0.5) * FRAME_SAMPLES / PHASES_PER_FRAME
SECONDS = np.arange(FRAMES * FRAME_SAMPLES) / RATE_HZ


def off(found: np.ndarray, wanted: np.ndarray) -> np.ndarray:
    """Cycles, away from the edges."""
    apart = found - wanted
    return (apart - np.round(apart))[60:-60]


@pytest.mark.parametrize("planned_hz", [200.0, 197.0, 206.0])
def test_a_tone_with_harmonics_and_a_plan_that_is_not_quite_right(planned_hz: float) -> None:
    cycles = 200 * SECONDS + 0.3
    tone = sum(np.cos(2 * np.pi * k * cycles) / k for k in range(1, 12))
    found = fundamental_phase(tone.astype(np.float32), np.full(2 * FRAMES, planned_hz))
    assert found.shape == MIDDLES.shape
    assert ((found >= 0) & (found < 1)).all()
    wanted = 200 * MIDDLES / RATE_HZ + 0.3
    apart = off(found, wanted)
    assert np.abs(apart).max() < 0.02


def test_a_glide_is_followed() -> None:
    hertz = 120 + 80 * SECONDS / SECONDS[-1]
    cycles = np.cumsum(hertz) / RATE_HZ
    planned = hertz[FRAME_SAMPLES // 4 :: FRAME_SAMPLES // 2]
    found = fundamental_phase(np.cos(2 * np.pi * cycles).astype(np.float32), planned)
    assert np.abs(off(found, np.interp(MIDDLES, np.arange(len(cycles)), cycles))).max() < 0.02


def test_rows_are_of_the_sound_and_zero_beyond_it(phases: Phases, sound: Sound, pitch: Pitch) -> None:
    frames = int(sound.counts[0]) // FRAME_SAMPLES
    rows = torch.tensor([0, 0])
    found = phases.rows(rows, torch.tensor([0, frames - 4]), 8)
    assert found.shape == (2, 2 * PHASES_PER_FRAME, 8)
    assert not found[1, :, 4:].any()
    whole = phases.rows(rows[:1], torch.tensor([0]), frames)
    assert torch.equal(found[1, :, :4], whole[0, :, frames - 4 :])
    cosines, sines = found[0].T.chunk(2, -1)
    torch.testing.assert_close(cosines.square() + sines.square(), torch.ones(8, PHASES_PER_FRAME))
    planned = hertz_of(pitch.rows(rows[:1], torch.tensor([0]), frames))[0].mean(0)
    right = (
        planned[1:] - 220
    ).abs() < 6  # the tone is 220 Hz: 0.44 cycles in 2 ms, of which a plan far off knows nothing
    assert right.any()
    angle = torch.atan2(*whole[0].T.chunk(2, -1)[::-1]) / (2 * torch.pi)
    step = (torch.diff(angle) - 0.44)[1:][right]
    assert (step - step.round()).abs().max() < 0.01
