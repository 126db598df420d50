"""Stage `source`: the last couplings of the flow learn to make the phase of a voice out of noise and pitch.

What they are to make can be written down: noise that runs round with the pitch, averaged over a window, stays in step
with it for as long as the window is, and begins anywhere. Only the pitch of spoken rows is needed for it, shifted to
any height. Knows nothing of sound.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional as F

from voxswap_training.channels import PHASES, PHASES_PER_FRAME, SEEDS, SPOKEN_CHANNELS
from voxswap_training.flow import SOURCE_COUPLINGS, Flow
from voxswap_training.loop import Budget, Progress, adamw, descend, set_rate
from voxswap_training.mel_frames import with_pitch
from voxswap_training.pitch import SPREAD_SEMITONES, Pitch, hertz_of, within
from voxswap_training.shape import SovitsShape
from voxswap_training.sound import RATE_HZ
from voxswap_training.source import phases_of, with_source
from voxswap_training.utterances import FRAME_SAMPLES
from voxswap_training.waveform import CLIP

_BETAS: Final = (0.9, 0.99)
_TOLD_HZ: Final = RATE_HZ // FRAME_SAMPLES * PHASES_PER_FRAME
_HIGHEST_SHIFT: Final = 4.0
"""Semitones by which contours are shifted, so that every height is learnt."""
_RANGE_HZ: Final = (65.0, 400.0)
_SURE: Final = 0.05
"""An average shorter than that of a whole has no angle worth keeping."""


@dataclass(frozen=True, slots=True)
class SourceSettings:
    batch: int = 16
    frames: int = 96
    reach: int = 10
    """Frames on either side that the average takes in."""
    rate: float = 3e-3
    report_every: int = 100
    seed: int = 0


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
    phase = (kept / kept.abs().clamp_min(_SURE))[..., None] * turned(cycles)
    return torch.cat([phase.real, phase.imag], -1).transpose(1, 2).float()


def cycles_of(pitch: Tensor) -> Tensor:
    """(B, 2, T) of `Pitch` -> (B, T, PHASES_PER_FRAME): how often a voice has swung since the beginning."""
    B, _, T = pitch.shape
    hertz = hertz_of(pitch).transpose(1, 2).reshape(B, 1, -1)
    told = F.interpolate(hertz, size=T * PHASES_PER_FRAME, mode="linear", align_corners=False)
    return (told.double().cumsum(-1) / _TOLD_HZ).view(B, T, PHASES_PER_FRAME)


def turned(cycles: Tensor) -> Tensor:
    angle = 2 * torch.pi * cycles
    return torch.complex(angle.cos(), angle.sin())


class SourceTrainer:
    def __init__(
        self,
        pitch: Pitch,
        dev: NDArray[np.bool_],
        folder: Path,
        budget: Budget,
        settings: SourceSettings,
        *,
        shape: SovitsShape,
        device: torch.device,
    ) -> None:
        """`dev`: of the rows of `pitch`, which are held out."""
        torch.manual_seed(settings.seed)
        self._pitch, self._settings, self._device = pitch, settings, device
        self._train, self._dev = np.flatnonzero(~dev), np.flatnonzero(dev)
        self._nobody = torch.zeros(1, shape.gin_channels, 1, device=device)
        self.flow = Flow(replace(shape, couplings=SOURCE_COUPLINGS)).to(device)
        self._optimiser = adamw(self.flow, settings.rate, decay=0.0, betas=_BETAS)
        self._curve = folder / "source.jsonl"
        self._progress = Progress(folder / "source.pt", budget, {"network": self.flow, "optimiser": self._optimiser})
        self._progress.resume()
        seed = settings.seed + self._progress.step
        torch.manual_seed(seed)
        self._rng = np.random.default_rng(seed)

    def run(self) -> Flow:
        """Trains until the budget is spent."""
        self._progress.train(self._step, self._measure, self._curve, report_every=self._settings.report_every, flat=0.3)
        return self.flow

    def _step(self, rate: float) -> dict[str, Tensor]:
        set_rate(self._optimiser, self._settings.rate * rate)
        made, wanted, pitch = self._made(self._train, self._rng)
        distance, slip = (made - wanted).square().mean(), slips(made, pitch).abs().square().mean()
        descend(self._optimiser, self.flow, distance + slip, longest=CLIP)
        return {"distance": distance.detach(), "slip": slip.detach()}

    @torch.no_grad()
    def _measure(self) -> Mapping[str, float]:
        """The distance, and by how much of a cycle a frame's phase is not where the one before it points."""
        made, wanted, pitch = self._made(self._dev, np.random.default_rng(1))
        unsteady = {f"dev_unsteady_{name}": _unsteadiness(x, pitch) for name, x in (("made", made), ("wanted", wanted))}
        return {"dev_distance": (made - wanted).square().mean().item()} | unsteady

    def _made(self, rows: NDArray[np.int64], rng: np.random.Generator) -> tuple[Tensor, Tensor, Tensor]:
        """Phases as they are made and as they shall be, (B, PHASES, T) without the edges, and their pitch."""
        settings = self._settings
        chosen = torch.from_numpy(rng.choice(rows, settings.batch))
        room = (self._pitch.counts[chosen] - settings.frames).clamp_min(0).numpy()
        pitch = self._pitch.rows(chosen, torch.from_numpy(rng.integers(0, room + 1)), settings.frames)
        shift = rng.uniform(-_HIGHEST_SHIFT, _HIGHEST_SHIFT, (settings.batch, 1, 1))
        pitch = within(pitch + torch.from_numpy(shift / SPREAD_SEMITONES).float(), *_RANGE_HZ).to(self._device)
        seeds = torch.randn(len(chosen), len(SEEDS), settings.frames, device=self._device)
        spoken = with_pitch(pitch.new_zeros(len(chosen), SPOKEN_CHANNELS, settings.frames), pitch)
        nothing = pitch.new_zeros(len(chosen), len(PHASES), settings.frames)
        mask = torch.ones_like(spoken[:, :1])
        made = phases_of(self.flow(with_source(spoken, nothing, seeds=seeds), mask, self._nobody))
        inner = slice(settings.reach, -settings.reach)
        wanted = wanted_phases(pitch, seeds, reach=settings.reach)
        return made[..., inner], wanted[..., inner], pitch[..., inner]


def slips(phases: Tensor, pitch: Tensor) -> Tensor:
    """How far a frame's phases lie from those of the frame before, turned on by the pitch: (B, T - 1, 2), complex.

    Of the first phase seen from the last before it, and of one in the middle from its like.
    """
    cosines, sines = phases.transpose(1, 2).chunk(2, -1)
    turning, cycles = torch.complex(cosines, sines), cycles_of(pitch)
    middle = PHASES_PER_FRAME // 2
    pairs = ((PHASES_PER_FRAME - 1, 0), (middle, middle))
    expected = [
        turning[:, :-1, before] * turned(cycles[:, 1:, here] - cycles[:, :-1, before]).to(turning)
        for before, here in pairs
    ]
    return torch.stack([turning[:, 1:, here] for _, here in pairs], -1) - torch.stack(expected, -1)


def _unsteadiness(phases: Tensor, pitch: Tensor) -> float:
    """Deviation, in cycles, of a frame's first phase from where the last one before it points."""
    cosines, sines = phases.transpose(1, 2).chunk(2, -1)
    here = torch.complex(cosines, sines)[:, 1:, 0]
    pointed = here - slips(phases, pitch)[..., 0]
    return float(torch.angle(here * pointed.conj()).std() / (2 * torch.pi))
