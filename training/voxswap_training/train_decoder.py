"""Stage `decoder`: what `acoustic` and `vocoder` learnt by themselves is put together.

The prior's mel frames are smoother than true ones; here the generator learns to speak from them, with the
discriminators that it had before. The prior stays as it is: trained along, it was pulled away from the spectra, and
words were lost (docs/BUILTIN_VOICES.md). Knows nothing of T2S.
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
from voxswap_training.sovits import SovitsShape, TrainableSovits
from voxswap_training.train_acoustic import Acoustic
from voxswap_training.utterances import EDGE_FRAMES, FRAME_SAMPLES, Utterances, cut_slices
from voxswap_training.waveform import BETAS, CLIP, Adversary, Spectra, waveform_loss


@dataclass(frozen=True, slots=True)
class DecoderSettings:
    batch: int = 32
    slices: int = 1
    """Of each utterance: the prior reads it whole, the generator makes so many stretches of it."""
    slice_frames: int = 32
    rate: float = 5e-4
    judge_rate: float = 4e-4
    judge_width: int = 24
    corrupted_share: float = 0.03
    """Of the tokens, as many as T2S may get wrong."""
    frequent_share: float = 0.8
    report_every: int = 100
    seed: int = 0


@dataclass(frozen=True, slots=True)
class Halves:
    """Checkpoints that a decoder starts from."""

    acoustic: Path
    vocoder: Path


class DecoderTrainer:
    def __init__(
        self,
        lines: Lines,
        sound: Sound,
        codebook: Tensor,
        folder: Path,
        budget: Budget,
        settings: DecoderSettings,
        *,
        halves: Halves,
        shape: SovitsShape,
        device: torch.device,
    ) -> None:
        """`halves` are read where the folder has no checkpoint to go on from."""
        torch.manual_seed(settings.seed)
        self._settings, self._device, self._curve = settings, device, folder / "decoder.jsonl"
        self.acoustic = Acoustic(shape, codebook).to(device).eval()
        self._generator = self.acoustic.decoder.dec
        self._spectra = Spectra().to(device)
        self._adversary = Adversary(settings.judge_width, settings.judge_rate, device)
        self._optimiser = adamw(self._generator, settings.rate, decay=0.01, betas=BETAS)
        parts = {
            "network": self.acoustic,
            "optimiser": self._optimiser,
            "judges": self._adversary.judges,
            "judge_optimiser": self._adversary.optimiser,
        }
        self._progress = Progress(folder / "decoder.pt", budget, parts)
        if not self._progress.resume():
            self._join(halves)
        seed = settings.seed + self._progress.step
        torch.manual_seed(seed)
        self._slices = torch.Generator().manual_seed(seed)
        train = Utterances(lines, sound, device, dev=False, seed=seed, frequent_share=settings.frequent_share)
        self._train = train.batches(settings.batch)
        dev = Utterances(lines, sound, device, dev=True, seed=1, frequent_share=settings.frequent_share)
        batches = dev.batches(min(8, settings.batch))
        self._dev = [next(batches) for _ in range(2)]

    def run(self) -> TrainableSovits:
        """Trains until the budget is spent."""
        self._progress.train(self._step, self._measure, self._curve, report_every=self._settings.report_every)
        return self.acoustic.decoder

    def _join(self, halves: Halves) -> None:
        acoustic, vocoder = (
            torch.load(file, map_location="cpu", weights_only=True) for file in (halves.acoustic, halves.vocoder)
        )
        self.acoustic.load_state_dict(acoustic["network"])
        self.acoustic.decoder.dec.load_state_dict(vocoder["network"])
        self._adversary.judges.load_state_dict(vocoder["judges"])

    def _step(self, rate: float) -> dict[str, Tensor]:
        settings, batch = self._settings, next(self._train)
        set_rate(self._optimiser, settings.rate * rate)
        self._adversary.set_rate(rate)
        with autocast(self._device):
            with torch.no_grad():
                z, _, speaker = self.acoustic(batch, corrupted_share=settings.corrupted_share)
            pieces, true = cut_slices(
                z,
                batch.samples,
                batch.token_counts,
                settings.slice_frames,
                self._slices,
                count=settings.slices,
            )
            made = self._generator(pieces, speaker.repeat(settings.slices, 1, 1)).float()
        edge = EDGE_FRAMES * FRAME_SAMPLES
        loss, found = waveform_loss(made[:, edge:-edge], true, self._spectra, self._adversary)
        descend(self._optimiser, self._generator, loss, longest=CLIP)
        return {name: value.detach() for name, value in found.items()}

    @torch.no_grad()
    def _measure(self) -> Mapping[str, float]:
        """Distance of whole dev utterances."""
        mels = []
        for batch in self._dev:
            with autocast(self._device):
                z, _, speaker = self.acoustic(batch)
                shortest = 2 * int(batch.token_counts.min())
                made = self._generator(z[:, :, :shortest], speaker).float()
            true = batch.samples[:, : shortest * FRAME_SAMPLES]
            log = self._spectra.mel.log
            mels.append((log(made) - log(true)).abs().mean().item())
        return {"dev_mel": float(np.mean(mels))}
