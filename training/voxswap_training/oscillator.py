"""What the couplings of the source are to make, what they make, and how the two differ.

Noise that runs round with the pitch, averaged over a window, stays in step with it for as long as the window is, and
begins anywhere: that is the phase of a voice that never was. Knows nothing of sound.
"""

from typing import Final

import torch
from torch import Tensor
from torch.nn import functional as F

from voxswap_training.channels import PHASES, PHASES_PER_FRAME, SEEDS, SPOKEN_CHANNELS
from voxswap_training.flow import Flow
from voxswap_training.mel_frames import with_pitch
from voxswap_training.pitch import Pitch, hertz_of
from voxswap_training.sound import RATE_HZ
from voxswap_training.source import phases_of, with_source
from voxswap_training.utterances import FRAME_SAMPLES

REACH: Final = 10
"""Frames on either side that the average takes in."""
_TOLD_HZ: Final = RATE_HZ // FRAME_SAMPLES * PHASES_PER_FRAME
_CONTEXT: Final = 12
"""Frames on either side that a phase depends on: the couplings hear as far."""
_SURE: Final = 0.05
"""An average shorter than that of a whole has no angle worth keeping."""


def wanted_phases(pitch: Tensor, seeds: Tensor, *, reach: int) -> Tensor:
    """The phase that the couplings shall make.

    Args:
        pitch: (B, 2, T) of `Pitch`.
        seeds: (B, 2, T) noise.
        reach: frames on either side.

    Returns:
        (B, PHASES, T)
    """
    cycles = cycles_of(pitch)
    middle = cycles[..., PHASES_PER_FRAME // 2 - 1 : PHASES_PER_FRAME // 2 + 1].mean(-1)
    still = torch.complex(*seeds.double().unbind(1)) * turned(-middle)
    window = torch.hann_window(2 * reach + 3, periodic=False, dtype=torch.double, device=pitch.device)[1:-1]
    window = (window / window.square().sum().sqrt()).view(1, 1, -1)
    parts = [F.conv1d(part[:, None], window, padding=reach)[:, 0] for part in (still.real, still.imag)]
    kept = torch.complex(*parts)
    return _told((kept / kept.abs().clamp_min(_SURE))[..., None] * turned(cycles)).float()


def cycles_of(pitch: Tensor) -> Tensor:
    """(B, 2, T) of `Pitch` -> (B, T, PHASES_PER_FRAME): how often a voice has swung since the beginning."""
    B, _, T = pitch.shape
    hertz = hertz_of(pitch).transpose(1, 2).reshape(B, 1, -1)
    told = F.interpolate(hertz, size=T * PHASES_PER_FRAME, mode="linear", align_corners=False)
    return (told.double().cumsum(-1) / _TOLD_HZ).view(B, T, PHASES_PER_FRAME)


def turned(cycles: Tensor) -> Tensor:
    angle = 2 * torch.pi * cycles
    return torch.complex(angle.cos(), angle.sin())


def made_phases(flow: Flow, pitch: Tensor, seeds: Tensor) -> Tensor:
    """What a flow of nothing but the source's couplings makes of (B, 2, T) of `Pitch` and of noise (B, 2, T).

    Returns:
        (B, PHASES, T)
    """
    B, _, T = pitch.shape
    spoken = with_pitch(pitch.new_zeros(B, SPOKEN_CHANNELS, T), pitch)
    frames = with_source(spoken, pitch.new_zeros(B, len(PHASES), T), seeds=seeds)
    nobody = pitch.new_zeros(1, flow.speaker_channels, 1)
    return phases_of(flow(frames, torch.ones_like(pitch[:, :1]), nobody))


def slips(phases: Tensor, pitch: Tensor) -> Tensor:
    """How far a frame's phases lie from those of the frame before, turned on by the pitch: (B, T - 1, 2), complex.

    Of the first phase seen from the last before it, and of one in the middle from its like.
    """
    turning, cycles = _turning(phases), cycles_of(pitch)
    middle = PHASES_PER_FRAME // 2
    pairs = ((PHASES_PER_FRAME - 1, 0), (middle, middle))
    expected = [
        turning[:, :-1, before] * turned(cycles[:, 1:, here] - cycles[:, :-1, before]).to(turning)
        for before, here in pairs
    ]
    return torch.stack([turning[:, 1:, here] for _, here in pairs], -1) - torch.stack(expected, -1)


class Misses:
    """Draws how the phases that the couplings make differ from those that they should make."""

    def __init__(self, flow: Flow, pitch: Pitch, device: torch.device) -> None:
        """`flow`: of nothing but the source's couplings."""
        self._flow, self._pitch, self._device = flow.to(device).eval(), pitch, device

    @torch.no_grad()
    def draw(self, rows: Tensor, first: Tensor, frames: int) -> Tensor:
        """(B,) which of the pitch's rows, (B,) from which frame on -> (B, frames, PHASES_PER_FRAME), complex."""
        pitch = self._pitch.rows(rows, first - _CONTEXT, frames + 2 * _CONTEXT).to(self._device)
        seeds = torch.randn(len(rows), len(SEEDS), pitch.shape[2], device=self._device)
        made, wanted = (
            _turning(x[..., _CONTEXT:-_CONTEXT])
            for x in (made_phases(self._flow, pitch, seeds), wanted_phases(pitch, seeds, reach=REACH))
        )
        return made * wanted.conj()


def missed(phases: Tensor, misses: Tensor) -> Tensor:
    """(B, PHASES, T) as far off as `misses` of (B, T, PHASES_PER_FRAME) are."""
    return _told(_turning(phases) * misses.to(phases.device))


def _turning(phases: Tensor) -> Tensor:
    """(B, PHASES, T) -> (B, T, PHASES_PER_FRAME), complex."""
    return torch.complex(*phases.transpose(1, 2).chunk(2, -1))


def _told(turning: Tensor) -> Tensor:
    """(B, T, PHASES_PER_FRAME), complex -> (B, PHASES, T)."""
    return torch.cat([turning.real, turning.imag], -1).transpose(1, 2)
