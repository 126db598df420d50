"""Stage `acoustic`: tokens, phones and a reference to mel frames: all of the decoder but its generator.

There is no posterior encoder: tokens say what is spoken in every 40 ms, so a latent that must be guessed is not needed
(as in JETS, Lim et al. 2022). The flow is trained in the direction in which it is used. Knows nothing of T2S and of
waveforms.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final, NamedTuple

import numpy as np
import torch
from torch import Tensor, nn

from voxswap_training.channels import PER_FRAME
from voxswap_training.envelopes import EnvelopeJudge, cosines, from_steps, in_steps
from voxswap_training.loop import Budget, Progress, adamw, autocast, descend, set_rate
from voxswap_training.mel_frames import MelFrames, pitch_of
from voxswap_training.pack import Lines
from voxswap_training.pitch import Pitch
from voxswap_training.shape import SovitsShape
from voxswap_training.signal import spectrum
from voxswap_training.sound import Sound
from voxswap_training.source import spoken_of
from voxswap_training.sovits import TrainableSovits
from voxswap_training.utterances import FRAME_SAMPLES, Batch, Utterances
from voxswap_training.warping import shifts, warped
from voxswap_training.waveform import BETAS, CLIP, Adversary

CORRUPTED_SHARE: Final = 0.03
"""Of the tokens, as many as T2S may get wrong; the generator hears the same."""
FREQUENT_SHARE: Final = 0.8
"""Of what is drawn, by the voices that are shipped."""
_REFERENCE_FFT = 2048
_JUDGED_STEPS: Final = 200
"""Of an utterance, as many as the judge is shown."""


class Distances(NamedTuple):
    """Mean absolute ones on the scale of MelFrames, each step from its like in the truth (`warping.py`)."""

    spectra: Tensor
    envelope: Tensor
    """Of what is left without harmonics: which sound it is."""
    pitch: Tensor


class Said(NamedTuple):
    """What is said and what is true: (B, BANDS, N) steps of 10 ms without harmonics, and what lies between the two."""

    envelopes: Tensor
    true_envelopes: Tensor
    distances: Distances


@dataclass(frozen=True, slots=True)
class AcousticSettings:
    batch: int = 32
    rate: float = 1e-3
    dropout: float = 0.05
    corrupted_share: float = CORRUPTED_SHARE
    frequent_share: float = FREQUENT_SHARE
    envelope_weight: float = 1.0
    """Of the distance of envelopes beside that of spectra."""
    pitch_weight: float = 0.1
    judge_rate: float = 5e-4
    judge_width: int = 16
    judged_from: float = 0.3
    """Share of the budget after which timing is forgiven and the judge joins: before, nothing is alike."""
    passing_weight: float = 0.5
    matching_weight: float = 1.0
    report_every: int = 100
    seed: int = 0


class Acoustic(nn.Module):
    """The decoder with the spectra that its inputs and losses need; its generator is not used here."""

    cosines: Tensor

    def __init__(self, shape: SovitsShape, codebook: Tensor) -> None:
        super().__init__()
        self.decoder = TrainableSovits(shape, codebook)
        self.mel = MelFrames()
        self.register_buffer("cosines", cosines(), persistent=False)
        self.window = nn.Parameter(torch.hann_window(_REFERENCE_FFT), requires_grad=False)

    def reference(self, samples: Tensor) -> Tensor:
        """(B, n) -> (B, 1025, n / 640), as the server analyses a reference."""
        return spectrum(samples, _REFERENCE_FFT, FRAME_SAMPLES, _REFERENCE_FFT, self.window)

    def forward(
        self, batch: Batch, *, dropout: float = 0.0, corrupted_share: float = 0.0
    ) -> tuple[Tensor, Tensor, Tensor]:
        """Generator input (B, C, 2T), mask (B, 1, 2T), speaker (B, gin, 1)."""
        tokens = batch.tokens
        if corrupted_share:
            noise = torch.rand(tokens.shape, device=tokens.device) < corrupted_share
            tokens = torch.where(noise, torch.randint_like(tokens, self.decoder.shape.tokens), tokens)
        speaker = self.decoder.speaker(self.reference(batch.reference))
        z, mask = self.decoder.frames(
            tokens,
            batch.token_counts,
            batch.phones,
            batch.phone_counts,
            speaker,
            dropout=dropout,
        )
        return z, mask, speaker

    @torch.no_grad()
    def in_time(self, spoken: Tensor, mask: Tensor, batch: Batch) -> Tensor:
        """What is said, (B, SPOKEN_CHANNELS, T), at the pitch and the time of the sound that it stands for."""
        mask = mask.repeat_interleave(PER_FRAME, 2)
        steps = in_steps(spoken)
        true = self.cosines @ (in_steps(self.mel(batch.samples, batch.pitch)) * mask)
        return from_steps(warped(steps, shifts(true, self.cosines @ steps * mask)), batch.pitch)

    def compared(self, z: Tensor, mask: Tensor, batch: Batch, *, forgiving: bool = True) -> Said:
        """Real frames beside the true ones, or beside their like in the truth; from a forward pass."""
        mask = mask.repeat_interleave(PER_FRAME, 2)
        with torch.no_grad():
            true = self.mel(batch.samples, batch.pitch)
            steps = in_steps(true) * mask
        spoken = spoken_of(z).float()
        said = in_steps(spoken) * mask
        cepstra, true_cepstra = self.cosines @ said, self.cosines @ steps
        nearest = warped(steps, shifts(cepstra.detach(), true_cepstra)) if forgiving else steps
        apart = (said - nearest) * mask
        pitch = (pitch_of(spoken) - pitch_of(true)) * mask[:, :, ::PER_FRAME]
        distances = Distances(
            spectra=apart.abs().mean(1).sum() / mask.sum(),
            envelope=(self.cosines @ apart).abs().mean(1).sum() / mask.sum(),
            pitch=PER_FRAME * pitch.abs().mean(1).sum() / mask.sum(),
        )
        return Said(self.cosines.T @ cepstra, self.cosines.T @ true_cepstra, distances)


class AcousticTrainer:
    def __init__(
        self,
        lines: Lines,
        sound: Sound,
        pitch: Pitch,
        codebook: Tensor,
        folder: Path,
        budget: Budget,
        settings: AcousticSettings,
        *,
        shape: SovitsShape,
        device: torch.device,
    ) -> None:
        torch.manual_seed(settings.seed)
        self._settings, self._device, self._curve = settings, device, folder / "acoustic.jsonl"
        self.acoustic = Acoustic(shape, codebook).to(device)
        self._optimiser = adamw(self.acoustic, settings.rate, decay=0.01, betas=BETAS)
        self._adversary = Adversary(EnvelopeJudge(settings.judge_width), settings.judge_rate, device)
        parts = {
            "network": self.acoustic,
            "optimiser": self._optimiser,
            "judges": self._adversary.judges,
            "judge_optimiser": self._adversary.optimiser,
        }
        self._progress = Progress(folder / "acoustic.pt", budget, parts)
        self._progress.resume()
        seed = settings.seed + self._progress.step
        torch.manual_seed(seed)
        train = Utterances(lines, sound, pitch, device, dev=False, seed=seed, frequent_share=settings.frequent_share)
        self._train = train.batches(settings.batch)
        dev = Utterances(lines, sound, pitch, device, dev=True, seed=1, frequent_share=settings.frequent_share)
        batches = dev.batches(min(8, settings.batch))
        self._dev = [next(batches) for _ in range(3)]

    def run(self) -> TrainableSovits:
        """Trains until the budget is spent."""
        self.acoustic.train()
        every = self._settings.report_every
        self._progress.train(self._step, self._measure, self._curve, report_every=every, flat=0.3)
        return self.acoustic.decoder

    def _said(self, batch: Batch, *, dropout: float = 0.0, corrupted_share: float = 0.0) -> Said:
        with autocast(self._device):
            z, mask, _ = self.acoustic(batch, dropout=dropout, corrupted_share=corrupted_share)
        return self.acoustic.compared(z, mask, batch, forgiving=self._judged)

    def _step(self, rate: float) -> dict[str, Tensor]:
        settings, batch = self._settings, next(self._train)
        set_rate(self._optimiser, settings.rate * rate)
        said = self._said(batch, dropout=settings.dropout, corrupted_share=settings.corrupted_share)
        near = said.distances
        loss = 10 * (near.spectra + settings.envelope_weight * near.envelope + settings.pitch_weight * near.pitch)
        found = near._asdict()
        if self._judged:
            self._adversary.set_rate(rate)
            part = self._judged_part(int(2 * PER_FRAME * batch.token_counts.min()))
            found |= self._adversary.judge(said.envelopes[..., part], said.true_envelopes[..., part])
            loss = loss + settings.passing_weight * found["passing"] + settings.matching_weight * found["matching"]
        descend(self._optimiser, self.acoustic, loss, longest=CLIP)
        return {name: value.detach() for name, value in found.items()}

    @property
    def _judged(self) -> bool:
        return self._progress.share >= self._settings.judged_from

    def _judged_part(self, whole: int) -> slice:
        first = int(torch.randint(max(1, whole - _JUDGED_STEPS + 1), ()))
        return slice(first, min(whole, first + _JUDGED_STEPS))

    @torch.no_grad()
    def _measure(self) -> Mapping[str, float]:
        self.acoustic.eval()
        found = [[distance.item() for distance in self._said(batch).distances] for batch in self._dev]
        self.acoustic.train()
        return {f"dev_{name}": float(mean) for name, mean in zip(Distances._fields, np.mean(found, 0), strict=True)}
