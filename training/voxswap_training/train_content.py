"""Stage `content`: a small network in HuBERT's layout that hears what the codes say.

It is regressed on the content vectors that the corpus' tokens were made of: where the sound class lies, and the pitch
above the voice's median, which it must find out from the clip itself. Its linear head becomes `ssl_proj` of the
decoder, so a reference audio's tokens are the codes nearest to what it hears. Knows nothing of T2S and the decoder.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

import voxswap_server  # noqa: F401 - mends torchaudio, which transformers imports where it is installed
from voxswap_training.codes import CLASS_DIMS, DECODER_SCALE, DIMS, Codebook
from voxswap_training.loop import Budget, Progress, adamw, autocast, descend, set_rate
from voxswap_training.pack import PITCH_STEPS, Lines
from voxswap_training.phonemes import CLASSES, INDEX, SILENCE
from voxswap_training.sound import Sound

from transformers import HubertConfig, HubertModel  # isort: skip

FRAME_SAMPLES: Final = 320
_KERNEL_SAMPLES = 400
_SECONDS = (3.0, 5.0)
_STRETCH = (0.82, 1.22)
"""A clip played faster or slower has another speaker's pitch and formants."""
_GAIN_DB = (-18.0, 6.0)
_NOISE_DB = (5.0, 40.0)
_TILT = 0.6
_CLIP: Final = 5.0


@dataclass(frozen=True, slots=True)
class ContentSettings:
    batch: int = 24
    rate: float = 8e-4
    report_every: int = 100
    seed: int = 0


def hubert_config() -> HubertConfig:
    return HubertConfig(
        hidden_size=256,
        num_hidden_layers=3,
        num_attention_heads=4,
        intermediate_size=768,
        conv_dim=(64, 96, 128, 160, 192, 224, 256),
        num_conv_pos_embeddings=32,
        num_conv_pos_embedding_groups=16,
        hidden_dropout=0.0,
        attention_dropout=0.0,
        activation_dropout=0.0,
        feat_proj_dropout=0.0,
        final_dropout=0.0,
        layerdrop=0.0,
        apply_spec_augment=False,
    )


class Listener(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        config = hubert_config()
        self.hubert = HubertModel(config)
        self.head = nn.Linear(config.hidden_size, DIMS)
        self.classes = nn.Linear(config.hidden_size, len(CLASSES))
        """Helps it learn; thrown away."""

    def forward(self, wave: Tensor) -> tuple[Tensor, Tensor]:
        """(B, n) at 16 kHz -> content vectors (B, T, DIMS) times DECODER_SCALE, class logits (B, T, classes)."""
        heard = self.hubert(wave).last_hidden_state
        return self.head(heard), self.classes(heard)


@dataclass(frozen=True, slots=True)
class Batch:
    wave: Tensor
    """(B, n)"""
    classes: Tensor
    """(B, T)"""
    content: Tensor
    """(B, T, DIMS) times DECODER_SCALE"""


class Clips:
    """Draws clips with what is said in them."""

    def __init__(
        self, lines: Lines, sound: Sound, codebook: Codebook, device: torch.device, *, dev: bool, seed: int
    ) -> None:
        self._sound, self._device, self._dev = sound, device, dev
        self._rng = np.random.default_rng(seed)
        self._rows = np.flatnonzero(lines.dev[: lines.spoken] == dev)
        self._classes = torch.from_numpy(lines.classes.values.astype(np.int64))
        self._pitch = torch.from_numpy(lines.pitch.values.astype(np.float32) / PITCH_STEPS)
        self._ends = torch.from_numpy(lines.classes.ends)
        self._counts = torch.from_numpy(lines.classes.lengths)
        self._places = torch.from_numpy(codebook.classes)
        self._pitch_weight = codebook.pitch_weight

    def batches(self, size: int) -> Iterator[Batch]:
        while True:
            rows = torch.from_numpy(self._rng.choice(self._rows, size))
            frames = int(self._rng.uniform(*_SECONDS) * 50)
            yield self._batch(rows, frames)

    def _batch(self, rows: Tensor, frames: int) -> Batch:
        rng = self._rng
        stretch = 1.0 if self._dev else float(rng.uniform(*_STRETCH))
        source = int(frames * stretch)
        first = torch.from_numpy(rng.integers(-5, np.maximum(1, self._counts[rows].numpy() - source // 2)))
        wave = self._sound.rows(rows, first * FRAME_SAMPLES, source * FRAME_SAMPLES).to(self._device)
        length = (frames - 1) * FRAME_SAMPLES + _KERNEL_SAMPLES
        wave = F.interpolate(wave[:, None], frames * FRAME_SAMPLES, mode="linear")[:, 0]
        wave = F.pad(wave, (0, length - frames * FRAME_SAMPLES))
        if not self._dev:
            wave = self._disturbed(wave)
        place = first[:, None] + ((torch.arange(frames) + 0.5) * stretch).long()
        inside = (place >= 0) & (place < self._counts[rows][:, None])
        index = ((self._ends[rows] - self._counts[rows])[:, None] + place).clamp(0, len(self._classes) - 1)
        classes = torch.where(inside, self._classes[index], INDEX[SILENCE])
        pitch = self._pitch[index] * inside * self._pitch_weight
        content = DECODER_SCALE * torch.cat([self._places[classes], pitch[..., None]], -1)
        return Batch(wave, classes.to(self._device), content.to(self._device))

    def _disturbed(self, wave: Tensor) -> Tensor:
        """Another loudness, another microphone, noise."""
        B = len(wave)

        def uniform(low: float, high: float) -> Tensor:
            return torch.from_numpy(self._rng.uniform(low, high, (B, 1)).astype(np.float32)).to(wave.device)

        tilt = uniform(-_TILT, _TILT)
        wave = wave + tilt * F.pad(wave[:, :-1], (1, 0))
        noise = torch.randn_like(wave)
        noise = noise + uniform(0, 0.95) * F.pad(noise[:, :-1], (1, 0))
        level = wave.square().mean(1, keepdim=True).sqrt() * 10 ** (-uniform(*_NOISE_DB) / 20)
        noisy = uniform(0, 1) < 0.6
        return (wave + noise * level * noisy) * 10 ** (uniform(*_GAIN_DB) / 20)


def losses(listener: Listener, batch: Batch) -> dict[str, Tensor]:
    vectors, logits = listener(batch.wave)
    vectors, logits = vectors.float(), logits.float()
    distance = (vectors - batch.content).square().sum(-1).mean()
    entropy = F.cross_entropy(logits.flatten(0, 1), batch.classes.flatten())
    pitch = (vectors[..., CLASS_DIMS] - batch.content[..., CLASS_DIMS]).square().mean()
    return {
        "loss": distance + 0.5 * entropy,
        "distance": distance,
        "cross_entropy": entropy,
        "pitch": pitch,
        "right": (logits.argmax(-1) == batch.classes).float().mean(),
    }


def tokens_of(vectors: Tensor, codes: Tensor) -> Tensor:
    """Content vectors (B, T, DIMS) and codes (tokens, 2 * DIMS), both scaled -> (B, T // 2)."""
    pairs = vectors[:, : vectors.shape[1] // 2 * 2].reshape(len(vectors), -1, 2 * DIMS)
    return (codes.square().sum(1) - 2 * pairs @ codes.T).argmin(-1)


def train(
    lines: Lines,
    sound: Sound,
    codebook: Codebook,
    folder: Path,
    budget: Budget,
    settings: ContentSettings,
    *,
    device: torch.device,
) -> Listener:
    """Trains until the budget is spent; checkpoint and curve lie in `folder`."""
    torch.manual_seed(settings.seed)
    listener = Listener().to(device)
    optimiser = adamw(listener, settings.rate, decay=0.01, betas=(0.9, 0.98))
    progress = Progress(folder / "content.pt", budget, {"network": listener, "optimiser": optimiser})
    progress.resume()
    seed = settings.seed + progress.step
    clips = Clips(lines, sound, codebook, device, dev=False, seed=seed).batches(settings.batch)
    dev_clips = Clips(lines, sound, codebook, device, dev=True, seed=1).batches(settings.batch)
    dev = [next(dev_clips) for _ in range(3)]
    codes = torch.from_numpy(DECODER_SCALE * codebook.vectors).to(device)

    @torch.no_grad()
    def measure() -> Mapping[str, float]:
        listener.eval()
        found = [losses(listener, batch) for batch in dev]
        same = [tokens_of(listener(b.wave)[0].float(), codes) == tokens_of(b.content, codes) for b in dev]
        listener.train()
        means = {f"dev_{name}": float(torch.stack([f[name] for f in found]).mean()) for name in found[0]}
        return means | {"dev_tokens": float(torch.cat([s.flatten() for s in same]).float().mean())}

    def step(rate: float) -> Mapping[str, Tensor]:
        set_rate(optimiser, settings.rate * rate)
        with autocast(device):
            found = losses(listener, next(clips))
        descend(optimiser, listener, found["loss"], longest=_CLIP)
        return found

    listener.train()
    progress.train(step, measure, folder / "content.jsonl", report_every=settings.report_every)
    return listener


def content_projection(listener: Listener) -> tuple[Tensor, Tensor]:
    """`ssl_proj` of the decoder: weight (W, W, 2) and bias (W,), W the width of the network.

    A pair of frames goes to the content vectors of both, one after the other; the other channels are zero.
    """
    width = listener.head.in_features
    weight, bias = torch.zeros(width, width, 2), torch.zeros(width)
    for half in range(2):
        rows = slice(half * DIMS, (half + 1) * DIMS)
        weight[rows, :, half] = listener.head.weight.detach().cpu()
        bias[rows] = listener.head.bias.detach().cpu()
    return weight, bias
