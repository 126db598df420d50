"""Stage `decoder`: tokens, phones and a reference to a waveform, in one network end to end.

There is no posterior encoder: tokens say what is spoken in every 40 ms, so a latent that must be guessed is not needed
(as in JETS, Lim et al. 2022). The flow is trained in the direction in which it is used. A linear head on the
generator's input predicts the mel spectrogram of the whole utterance, so the prior learns from every frame although
the generator sees only slices; it is thrown away. The first part of the budget has spectral losses only, then
discriminators join. Knows nothing of T2S.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np
import torch
from torch import Tensor, nn

from voxswap_training.discriminators import Discriminators, discriminator_loss, generator_losses
from voxswap_training.loop import Budget, Progress, adamw, set_rate
from voxswap_training.pack import Lines
from voxswap_training.signal import MelFilter, spectrum
from voxswap_training.sound import RATE_HZ, Sound
from voxswap_training.sovits import SovitsShape, TrainableSovits
from voxswap_training.train_t2s import half_on_gpu

FRAME_SAMPLES: Final = 640
_BETAS = (0.8, 0.99)
_EDGE_FRAMES = 3
"""Of a slice, on either side, where the generator lacks context: made, not judged."""
_BANDS = 80
_MEL_PER_FRAME = 2
_FFTS = (512, 1024, 2048)
_REFERENCE_S = (3.0, 5.0)
_CLIP = 30.0
"""Longest gradient; usual ones have half of it."""


@dataclass(frozen=True, slots=True)
class DecoderSettings:
    batch: int = 32
    slices: int = 1
    """Of each utterance: the prior reads it whole, the generator makes so many stretches of it."""
    slice_frames: int = 32
    rate: float = 5e-4
    judge_rate: float = 3e-4
    judge_width: int = 24
    judged_from: float = 0.15
    """Share of the budget after which discriminators join."""
    dropout: float = 0.05
    corrupted_share: float = 0.03
    """Of the tokens, as many as T2S may get wrong."""
    report_every: int = 100
    seed: int = 0


@dataclass(frozen=True, slots=True)
class Batch:
    tokens: Tensor
    token_counts: Tensor
    phones: Tensor
    phone_counts: Tensor
    samples: Tensor
    """(B, 2T * FRAME_SAMPLES)"""
    reference: Tensor
    """(B, n) another utterance of the same voice."""


class Utterances:
    """Draws batches of spoken lines."""

    def __init__(self, lines: Lines, sound: Sound, device: torch.device, *, dev: bool, seed: int) -> None:
        self._lines, self._sound, self._device = lines, sound, device
        self._rng = np.random.default_rng(seed)
        spoken = np.arange(lines.spoken)
        voice = lines.voice[: lines.spoken]
        self._mates = {int(name): spoken[(voice == name) & ~lines.dev[: lines.spoken]] for name in np.unique(voice)}
        able = np.array([len(self._mates[int(name)]) > 1 for name in voice])
        self._rows = spoken[(lines.dev[: lines.spoken] == dev) & able]

    def batches(self, size: int) -> Iterator[Batch]:
        """Endless; utterances of like length come together."""
        lengths = self._lines.tokens.lengths
        while True:
            pool = self._rng.choice(self._rows, 8 * size)
            pool = pool[np.argsort(lengths[pool], kind="stable")].reshape(8, size)
            for rows in pool[self._rng.permutation(8)]:
                yield self._batch(rows)

    def _batch(self, rows: "np.ndarray[tuple[int], np.dtype[np.int64]]") -> Batch:
        lines, rng = self._lines, self._rng
        tokens, token_counts = _padded([lines.tokens[int(row)] for row in rows])
        phones, phone_counts = _padded([lines.phones[int(row)] for row in rows])
        frames = 2 * tokens.shape[1]
        index = torch.from_numpy(rows)
        samples = self._sound.rows(index, torch.zeros(len(rows), dtype=torch.long), frames * FRAME_SAMPLES)
        mates = torch.tensor([self._mate(int(row)) for row in rows])
        length = int(rng.uniform(*_REFERENCE_S) * RATE_HZ) // FRAME_SAMPLES * FRAME_SAMPLES
        room = (self._sound.counts[mates] - length).clamp_min(0).numpy()
        reference = self._sound.rows(mates, torch.from_numpy(rng.integers(0, room + 1)), length)
        moved = (x.to(self._device) for x in (tokens, token_counts, phones, phone_counts, samples, reference))
        return Batch(*moved)

    def _mate(self, row: int) -> int:
        mates = self._mates[int(self._lines.voice[row])]
        return int(self._rng.choice(mates[mates != row]))


def _padded(rows: "list[np.ndarray[tuple[int], np.dtype[np.integer]]]") -> tuple[Tensor, Tensor]:
    counts = np.array([len(row) for row in rows])
    whole = np.zeros((len(rows), counts.max()), np.int64)
    for index, row in enumerate(rows):
        whole[index, : len(row)] = row
    return torch.from_numpy(whole), torch.from_numpy(counts)


class Trainee(nn.Module):
    """The decoder with the spectra that its losses need."""

    def __init__(self, shape: SovitsShape, codebook: Tensor) -> None:
        super().__init__()
        self.decoder = TrainableSovits(shape, codebook)
        self.mel_head = nn.Conv1d(shape.inter_channels, _MEL_PER_FRAME * _BANDS, 1)
        self.mel = MelFilter(
            rate_hz=RATE_HZ, fft_samples=1280, hop_samples=FRAME_SAMPLES // _MEL_PER_FRAME, bands=_BANDS, high_hz=12_000
        )
        self.windows = nn.ParameterList(
            [nn.Parameter(torch.hann_window(fft), requires_grad=False) for fft in (*_FFTS, 2048)]
        )

    def reference(self, samples: Tensor) -> Tensor:
        """(B, n) -> (B, 1025, n / 640), as the server analyses a reference."""
        return spectrum(samples, 2048, FRAME_SAMPLES, 2048, self.windows[-1])

    def frames(self, batch: Batch, settings: DecoderSettings) -> tuple[Tensor, Tensor, Tensor]:
        """Generator input (B, C, 2T), mask (B, 1, 2T), speaker (B, gin, 1)."""
        tokens = batch.tokens
        if self.training:
            noise = torch.rand(tokens.shape, device=tokens.device) < settings.corrupted_share
            tokens = torch.where(noise, torch.randint_like(tokens, self.decoder.shape.tokens), tokens)
        speaker = self.decoder.speaker(self.reference(batch.reference))
        z, mask = self.decoder.frames(
            tokens,
            batch.token_counts,
            batch.phones,
            batch.phone_counts,
            speaker,
            dropout=settings.dropout if self.training else 0.0,
        )
        return z, mask, speaker

    def mel_loss(self, z: Tensor, mask: Tensor, samples: Tensor) -> Tensor:
        """Mean distance in log units of the head's mel spectrogram from the true one, over real frames."""
        guess = self.mel_head(z).float()
        guess = guess.view(len(guess), _BANDS, _MEL_PER_FRAME, -1).transpose(2, 3).flatten(2)
        true = self.mel(samples)
        real = mask.float().repeat_interleave(_MEL_PER_FRAME, 2)
        return ((guess - true).abs() * real).sum() / (real.sum() * _BANDS)

    def spectral_losses(self, made: Tensor, true: Tensor) -> tuple[Tensor, Tensor]:
        """Multi-resolution STFT distance (Yamamoto et al. 2020) and mel distance of slices (B, n)."""
        stft = made.new_zeros(())
        for fft, window in zip(_FFTS, self.windows, strict=False):
            a, b = (spectrum(x, fft, fft // 4, fft, window) for x in (made, true))
            stft = stft + (a.clamp_min(1e-4).log() - b.clamp_min(1e-4).log()).abs().mean()
            stft = stft + torch.linalg.vector_norm(a - b) / torch.linalg.vector_norm(b).clamp_min(1e-3)
        return stft / len(_FFTS), (self.mel(made) - self.mel(true)).abs().mean()


def cut_slices(
    z: Tensor, samples: Tensor, token_counts: Tensor, frames: int, generator: torch.Generator, *, count: int = 1
) -> tuple[Tensor, Tensor]:
    """Random stretches, `count` of each row: generator input (count B, C, frames + 2 edges) and the samples between
    (count B, n).

    The rows of `z` follow each other, then again.
    """
    z, samples, token_counts = z.repeat(count, 1, 1), samples.repeat(count, 1), token_counts.repeat(count)
    last = (2 * token_counts.cpu() - frames).clamp_min(0)
    first = (torch.rand(len(z), generator=generator) * (last + 1)).long().to(z.device)
    edged = nn.functional.pad(z, (_EDGE_FRAMES, _EDGE_FRAMES + frames))
    place = first[:, None] + torch.arange(frames + 2 * _EDGE_FRAMES, device=z.device)
    pieces = edged.gather(2, place[:, None].expand(-1, z.shape[1], -1))
    padded = nn.functional.pad(samples, (0, frames * FRAME_SAMPLES))
    where = first[:, None] * FRAME_SAMPLES + torch.arange(frames * FRAME_SAMPLES, device=z.device)
    return pieces, padded.gather(1, where)


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
        shape: SovitsShape,
        device: torch.device,
    ) -> None:
        torch.manual_seed(settings.seed)
        self._settings, self._device, self._curve = settings, device, folder / "decoder.jsonl"
        self.trainee = Trainee(shape, codebook).to(device)
        self._judges = Discriminators(settings.judge_width).to(device)
        self._optimiser = adamw(self.trainee, settings.rate, decay=0.01, betas=_BETAS)
        self._judge_optimiser = adamw(self._judges, settings.judge_rate, decay=0.01, betas=_BETAS)
        parts = {
            "network": self.trainee,
            "judges": self._judges,
            "optimiser": self._optimiser,
            "judge_optimiser": self._judge_optimiser,
        }
        self._progress = Progress(folder / "decoder.pt", budget, parts)
        self._progress.resume()
        self._slices = torch.Generator().manual_seed(settings.seed + self._progress.step)
        seed = settings.seed + self._progress.step
        self._train = Utterances(lines, sound, device, dev=False, seed=seed).batches(settings.batch)
        dev = Utterances(lines, sound, device, dev=True, seed=1).batches(min(16, settings.batch))
        self._dev = [next(dev) for _ in range(2)]

    def run(self) -> TrainableSovits:
        """Trains until the budget is spent."""
        self.trainee.train()
        for step in self._progress.steps():
            rate = self._progress.rate()
            set_rate(self._optimiser, self._settings.rate * rate)
            set_rate(self._judge_optimiser, self._settings.judge_rate * rate)
            found = self._step(next(self._train))
            if step % 10 == 0:
                self._progress.note(**{name: value.item() for name, value in found.items()})
            if (step + 1) % self._settings.report_every == 0:
                self._progress.report(self._curve, self._measure)
        return self.trainee.decoder

    def _step(self, batch: Batch) -> dict[str, Tensor]:
        with half_on_gpu(self._device):
            z, mask, speaker = self.trainee.frames(batch, self._settings)
            whole_mel = self.trainee.mel_loss(z, mask, batch.samples)
            pieces, true = cut_slices(
                z,
                batch.samples,
                batch.token_counts,
                self._settings.slice_frames,
                self._slices,
                count=self._settings.slices,
            )
            made = self.trainee.decoder.dec(pieces, speaker.repeat(self._settings.slices, 1, 1)).float()
        edge = _EDGE_FRAMES * FRAME_SAMPLES
        made = made[:, edge:-edge]
        stft, mel = self.trainee.spectral_losses(made, true)
        loss = whole_mel * 5 + mel * 10 + stft * 3
        found = {"whole_mel": whole_mel, "mel": mel, "stft": stft}
        if self._progress.share >= self._settings.judged_from:
            found |= self._judge(made, true)
            loss = loss + found["passing"] + 2 * len(self._judges.judges) * found["matching"]
        self._optimiser.zero_grad(set_to_none=True)
        loss.backward()
        norm = nn.utils.clip_grad_norm_(self.trainee.parameters(), _CLIP)
        if torch.isfinite(norm):
            self._optimiser.step()
        return {name: value.detach() for name, value in found.items()}

    def _judge(self, made: Tensor, true: Tensor) -> dict[str, Tensor]:
        """One step of the discriminators, then what they make of the generator's work."""
        with half_on_gpu(self._device):
            real = self._judges(true)
            loss = discriminator_loss(real, self._judges(made.detach()))
        self._judge_optimiser.zero_grad(set_to_none=True)
        loss.backward()
        nn.utils.clip_grad_norm_(self._judges.parameters(), _CLIP)
        self._judge_optimiser.step()
        self._judges.requires_grad_(requires_grad=False)
        with half_on_gpu(self._device):
            passing, matching = generator_losses(real, self._judges(made))
        self._judges.requires_grad_(requires_grad=True)
        return {"judges": loss, "passing": passing, "matching": matching}

    @torch.no_grad()
    def _measure(self) -> Mapping[str, float]:
        """Distances of whole dev utterances."""
        self.trainee.eval()
        whole, made_mel = [], []
        for batch in self._dev:
            with half_on_gpu(self._device):
                z, mask, speaker = self.trainee.frames(batch, self._settings)
                whole.append(self.trainee.mel_loss(z, mask, batch.samples).item())
                shortest = 2 * int(batch.token_counts.min())
                made = self.trainee.decoder.dec(z[:, :, :shortest], speaker).float()
            true = batch.samples[:, : shortest * FRAME_SAMPLES]
            made_mel.append((self.trainee.mel(made) - self.trainee.mel(true)).abs().mean().item())
        self.trainee.train()
        return {"dev_whole_mel": float(np.mean(whole)), "dev_mel": float(np.mean(made_mel))}
