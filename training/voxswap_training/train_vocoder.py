"""Stage `vocoder`: the generator alone, from true mel frames to the waveform.

It needs neither codes nor the prior, so it learns beside the other stages. Noise on its input makes it forgive what the
prior gets wrong; stage `decoder` then puts the two together. First spectral losses only, then discriminators join.
Knows nothing of voices.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from voxswap_training.loop import Budget, Progress, adamw, autocast, descend, set_rate
from voxswap_training.pack import Lines
from voxswap_training.sound import Sound
from voxswap_training.sovits import Generator, SovitsShape
from voxswap_training.utterances import EDGE_FRAMES, FRAME_SAMPLES
from voxswap_training.waveform import BETAS, CLIP, Adversary, Spectra, waveform_loss


@dataclass(frozen=True, slots=True)
class VocoderSettings:
    batch: int = 16
    slice_frames: int = 32
    rate: float = 1e-3
    judge_rate: float = 5e-4
    judge_width: int = 24
    judged_from: float = 0.1
    """Share of the budget after which discriminators join."""
    noise: float = 0.1
    """Largest standard deviation of what is added to mel frames, on their own scale."""
    report_every: int = 100
    seed: int = 0


class VocoderTrainer:
    def __init__(
        self,
        lines: Lines,
        sound: Sound,
        folder: Path,
        budget: Budget,
        settings: VocoderSettings,
        *,
        shape: SovitsShape,
        device: torch.device,
    ) -> None:
        torch.manual_seed(settings.seed)
        self._settings, self._device, self._sound = settings, device, sound
        self._curve = folder / "vocoder.jsonl"
        self.generator = Generator(shape).to(device)
        self._spectra = Spectra().to(device)
        self._adversary = Adversary(settings.judge_width, settings.judge_rate, device)
        self._optimiser = adamw(self.generator, settings.rate, decay=0.01, betas=BETAS)
        parts = {
            "network": self.generator,
            "optimiser": self._optimiser,
            "judges": self._adversary.judges,
            "judge_optimiser": self._adversary.optimiser,
        }
        self._progress = Progress(folder / "vocoder.pt", budget, parts)
        self._progress.resume()
        torch.manual_seed(settings.seed + self._progress.step)
        self._rng = np.random.default_rng(settings.seed + self._progress.step)
        dev = lines.dev[: lines.spoken]
        self._rows = torch.from_numpy(np.flatnonzero(~dev))
        self._nobody = torch.zeros(settings.batch, shape.gin_channels, 1, device=device)
        held_out = torch.from_numpy(np.flatnonzero(dev))[: settings.batch]
        self._dev = sound.rows(held_out, torch.full_like(held_out, 8000), 4 * self._samples).to(device)

    def run(self) -> Generator:
        """Trains until the budget is spent."""
        self._progress.train(self._step, self._measure, self._curve, report_every=self._settings.report_every)
        return self.generator

    @property
    def _samples(self) -> int:
        """Of a slice with its edges."""
        return (self._settings.slice_frames + 2 * EDGE_FRAMES) * FRAME_SAMPLES

    def _draw(self) -> Tensor:
        rows = self._rows[torch.from_numpy(self._rng.integers(0, len(self._rows), self._settings.batch))]
        room = (self._sound.counts[rows] - self._samples).clamp_min(0).numpy()
        return self._sound.rows(rows, torch.from_numpy(self._rng.integers(0, room + 1)), self._samples).to(self._device)

    def _speak(self, frames: Tensor) -> Tensor:
        with autocast(self._device):
            made: Tensor = self.generator(frames, self._nobody[: len(frames)])
        return made.float()

    def _step(self, rate: float) -> dict[str, Tensor]:
        set_rate(self._optimiser, self._settings.rate * rate)
        self._adversary.set_rate(rate)
        true = self._draw()
        with torch.no_grad():
            frames = self._spectra.mel(true)
            frames = frames + torch.randn_like(frames) * self._settings.noise * torch.rand(len(frames), 1, 1)
        edge = EDGE_FRAMES * FRAME_SAMPLES
        made, true = self._speak(frames)[:, edge:-edge], true[:, edge:-edge]
        judged = self._progress.share >= self._settings.judged_from
        loss, found = waveform_loss(made, true, self._spectra, self._adversary if judged else None)
        descend(self._optimiser, self.generator, loss, longest=CLIP)
        return {name: value.detach() for name, value in found.items()}

    @torch.no_grad()
    def _measure(self) -> Mapping[str, float]:
        made = self._speak(self._spectra.mel(self._dev))
        return {"dev_mel": (self._spectra.mel.log(made) - self._spectra.mel.log(self._dev)).abs().mean().item()}
