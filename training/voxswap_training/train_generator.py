"""The generator learns to speak from stretches of frames: what stages `vocoder` and `decoder` have in common.

First spectral losses only, then discriminators join. Knows nothing of where the frames come from.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np
import torch
from torch import Tensor, nn

from voxswap_training.discriminators import Discriminators
from voxswap_training.generator import Generator
from voxswap_training.loop import Budget, Progress, adamw, autocast, descend, set_rate
from voxswap_training.stretches import EDGE_FRAMES, Stretch, Stretches
from voxswap_training.utterances import FRAME_SAMPLES
from voxswap_training.waveform import BETAS, CLIP, Adversary, Spectra, waveform_loss

_DEV_STRETCHES: Final = 8
_DEV_FRAMES: Final = 100
_WITHIN: Final = "decoder.dec."
"""The generator's place in the decoder's checkpoint."""


@dataclass(frozen=True, slots=True)
class GeneratorSettings:
    batch: int = 16
    slice_frames: int = 32
    rate: float = 1e-3
    judge_rate: float = 5e-4
    judge_width: int = 24
    judged_from: float = 0.1
    """Share of the budget after which discriminators join."""
    report_every: int = 100
    seed: int = 0


class GeneratorTrainer:
    def __init__(
        self, network: nn.Module, generator: Generator, file: Path, budget: Budget, settings: GeneratorSettings
    ) -> None:
        """Takes up the checkpoint `file` if there is one; it is of `network`: the generator or what it is part of."""
        device = next(generator.parameters()).device
        self.generator, self._settings, self._device = generator, settings, device
        self._curve = file.with_suffix(".jsonl")
        self._spectra = Spectra().to(device)
        self._adversary = Adversary(Discriminators(settings.judge_width), settings.judge_rate, device)
        self._optimiser = adamw(generator, settings.rate, decay=0.01, betas=BETAS)
        parts = {
            "network": network,
            "optimiser": self._optimiser,
            "judges": self._adversary.judges,
            "judge_optimiser": self._adversary.optimiser,
        }
        self._progress = Progress(file, budget, parts)
        self.resumed = self._progress.resume()
        self.seed = settings.seed + self._progress.step
        """Another one after each start, so that going on is not going back."""
        torch.manual_seed(self.seed)
        self._rng = np.random.default_rng(self.seed)

    def begin_from(self, other: Mapping[str, Mapping[str, Tensor]]) -> None:
        """Generator and discriminators of another checkpoint, be it of a vocoder or of a decoder."""
        network = other["network"]
        within = {name.removeprefix(_WITHIN): weight for name, weight in network.items() if name.startswith(_WITHIN)}
        self.generator.load_state_dict(within or network)
        self._adversary.judges.load_state_dict(other["judges"])

    def run(self, train: Stretches, dev: Stretches) -> None:
        """Trains until the budget is spent."""
        held_out = dev.draw(np.random.default_rng(1), _DEV_STRETCHES, _DEV_FRAMES)
        self._progress.train(
            lambda rate: self.step(train, rate),
            lambda: self.measure(held_out),
            self._curve,
            report_every=self._settings.report_every,
        )

    def step(self, train: Stretches, rate: float) -> dict[str, Tensor]:
        """One step down, rates times `rate`; the losses."""
        settings = self._settings
        set_rate(self._optimiser, settings.rate * rate)
        self._adversary.set_rate(rate)
        stretch = train.draw(self._rng, settings.batch, settings.slice_frames)
        judged = self._progress.share >= settings.judged_from
        loss, found = waveform_loss(
            self._speak(stretch), stretch.samples, self._spectra, self._adversary if judged else None
        )
        descend(self._optimiser, self.generator, loss, longest=CLIP)
        return {name: value.detach() for name, value in found.items()}

    @torch.no_grad()
    def measure(self, held_out: Stretch) -> Mapping[str, float]:
        """The distances of what is made of held-out stretches."""
        found = self._spectra(self._speak(held_out), held_out.samples)
        return {f"dev_{name}": found[name].item() for name in ("mel", "phase")}

    def _speak(self, stretch: Stretch) -> Tensor:
        with autocast(self._device):
            made: Tensor = self.generator(stretch.frames, stretch.speaker)
        edge = EDGE_FRAMES * FRAME_SAMPLES
        return made.float()[:, edge:-edge]
