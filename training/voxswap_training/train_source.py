"""Stage `source`: the last couplings of the flow learn to make the phase of a voice out of noise and pitch.

What they are to make can be written down (`oscillator.py`). Only the pitch of spoken rows is needed for it, shifted
to any height. Knows nothing of sound.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from voxswap_training.channels import SEEDS
from voxswap_training.flow import SOURCE_COUPLINGS, Flow
from voxswap_training.loop import Budget, Progress, adamw, descend, set_rate
from voxswap_training.oscillator import REACH, made_phases, slips, wanted_phases
from voxswap_training.pitch import SPREAD_SEMITONES, Pitch, within
from voxswap_training.shape import SovitsShape
from voxswap_training.waveform import CLIP

_BETAS: Final = (0.9, 0.99)
_HIGHEST_SHIFT: Final = 4.0
"""Semitones by which contours are shifted, so that every height is learnt."""
_RANGE_HZ: Final = (65.0, 400.0)


@dataclass(frozen=True, slots=True)
class SourceSettings:
    batch: int = 16
    frames: int = 96
    reach: int = REACH
    rate: float = 3e-3
    report_every: int = 100
    seed: int = 0


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
        made = made_phases(self.flow, pitch, seeds)
        inner = slice(settings.reach, -settings.reach)
        wanted = wanted_phases(pitch, seeds, reach=settings.reach)
        return made[..., inner], wanted[..., inner], pitch[..., inner]


def _unsteadiness(phases: Tensor, pitch: Tensor) -> float:
    """Deviation, in cycles, of a frame's first phase from where the last one before it points."""
    cosines, sines = phases.transpose(1, 2).chunk(2, -1)
    here = torch.complex(cosines, sines)[:, 1:, 0]
    pointed = here - slips(phases, pitch)[..., 0]
    return float(torch.angle(here * pointed.conj()).std() / (2 * torch.pi))
