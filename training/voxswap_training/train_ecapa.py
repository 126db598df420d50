"""Stage `ecapa`: SpeechBrain's ECAPA_TDNN, small, taught by CAM++ who sounds like whom.

The student hears each clip louder, softer, through another microphone and with noise; the teacher heard it clean. Its
embeddings follow the teacher's with their common mean removed, so strangers are at a cosine near 0. Knows nothing of
the other stages.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

import voxswap_server  # noqa: F401 - mends torchaudio, which SpeechBrain imports
from voxswap_training.loop import Budget, Progress, adamw, descend, half_on_gpu, set_rate
from voxswap_training.sound import Sound
from voxswap_training.speakers import CLIP_SAMPLES, Clips, cut

from speechbrain.lobes.features import Fbank  # isort: skip
from speechbrain.lobes.models.ECAPA_TDNN import ECAPA_TDNN  # isort: skip

SHAPE: Final[Mapping[str, Any]] = {
    "input_size": 80,
    "channels": [192, 192, 192, 192, 576],
    "kernel_sizes": [5, 3, 3, 3, 1],
    "dilations": [1, 2, 3, 4, 1],
    "attention_channels": 64,
    "se_channels": 64,
    "lin_neurons": 192,
}
_DEV_SHARE = 0.05
_SHORTEST_SAMPLES = 24_000
_NOISE_DB = (0.0, 35.0)
_TILT = 0.7
_CLIP: Final = 5.0


@dataclass(frozen=True, slots=True)
class EcapaSettings:
    batch: int = 64
    rate: float = 1e-3
    report_every: int = 100
    seed: int = 0


class Student(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.features = Fbank(n_mels=80)
        self.network = ECAPA_TDNN(**SHAPE)

    def forward(self, wave: Tensor) -> Tensor:
        """(B, n) at 16 kHz -> (B, 192) of length 1, as SpeechBrain's EncoderClassifier has it."""
        with torch.no_grad(), torch.autocast(wave.device.type, enabled=False):
            features = self.features(wave)
            features = features - features.mean(1, keepdim=True)
        return F.normalize(self.network(features)[:, 0].float(), dim=1)


def centred(embeddings: Tensor) -> Tensor:
    """The teacher's embeddings with their mean removed, of length 1."""
    return F.normalize(embeddings - embeddings.mean(0), dim=1)


def losses(made: Tensor, wanted: Tensor) -> dict[str, Tensor]:
    """How far embeddings (B, 192) are from the teacher's, each by itself and as a crowd."""
    distance = 1 - (made * wanted).sum(1).mean()
    crowd = (made @ made.T - wanted @ wanted.T).square().mean()
    return {"loss": distance + 5 * crowd, "distance": distance, "crowd": crowd}


def disturbed(wave: Tensor, rng: np.random.Generator) -> Tensor:
    """Clips cut to one random length, each with another loudness, microphone and noise."""
    length = int(rng.integers(_SHORTEST_SAMPLES, CLIP_SAMPLES + 1))
    wave = wave[:, :length]

    def uniform(low: float, high: float) -> Tensor:
        return torch.from_numpy(rng.uniform(low, high, (len(wave), 1)).astype(np.float32)).to(wave.device)

    wave = wave + uniform(-_TILT, _TILT) * F.pad(wave[:, :-1], (1, 0))
    noise = torch.randn_like(wave)
    noise = noise + uniform(0, 0.95) * F.pad(noise[:, :-1], (1, 0))
    level = wave.square().mean(1, keepdim=True).sqrt() * 10 ** (-uniform(*_NOISE_DB) / 20)
    return (wave + noise * level * (uniform(0, 1) < 0.6)) * 10 ** (uniform(-15, 6) / 20)


def train(
    clips: Clips, sound: Sound, folder: Path, budget: Budget, settings: EcapaSettings, *, device: torch.device
) -> Student:
    """Trains until the budget is spent; checkpoint and curve lie in `folder`."""
    torch.manual_seed(settings.seed)
    student = Student().to(device)
    optimiser = adamw(student, settings.rate, decay=0.01, betas=(0.9, 0.99))
    progress = Progress(folder / "ecapa.pt", budget, {"network": student, "optimiser": optimiser})
    progress.resume()
    rng = np.random.default_rng(settings.seed + progress.step)
    wanted = centred(torch.from_numpy(clips.embedding)).to(device)
    dev_count = max(2, int(_DEV_SHARE * len(clips.row)))
    chosen = np.arange(dev_count, len(clips.row))

    def load(index: np.ndarray[tuple[int], np.dtype[np.int64]]) -> Tensor:
        rows = [
            cut(sound, torch.from_numpy(clips.row[i : i + 1]), torch.from_numpy(clips.first_sample[i : i + 1]), stretch)
            for i, stretch in zip(index.tolist(), clips.stretch[index].tolist(), strict=True)
        ]
        return torch.cat(rows).to(device)

    def batches() -> Iterator[tuple[Tensor, Tensor]]:
        while True:
            index = rng.choice(chosen, settings.batch, replace=False)
            yield disturbed(load(index), rng), wanted[torch.from_numpy(index).to(device)]

    dev = load(np.arange(min(dev_count, 128)))

    @torch.no_grad()
    def measure() -> Mapping[str, float]:
        student.eval()
        found = losses(student(dev), wanted[: len(dev)])
        student.train()
        return {f"dev_{name}": float(value) for name, value in found.items()}

    source = batches()

    def step(rate: float) -> Mapping[str, Tensor]:
        set_rate(optimiser, settings.rate * rate)
        wave, target = next(source)
        with half_on_gpu(device):
            made = student(wave)
        found = losses(made, target)
        descend(optimiser, student, found["loss"], longest=_CLIP)
        return found

    student.train()
    progress.train(step, measure, folder / "ecapa.jsonl", report_every=settings.report_every)
    return student


_HYPERPARAMS: Final = """\
# ECAPA-TDNN of voxswap in the layout of SpeechBrain's speaker encoders; trained by `training/`, see
# docs/BUILTIN_VOICES.md.
sample_rate: 16000
n_mels: 80
lin_neurons: 192

compute_features: !new:speechbrain.lobes.features.Fbank
    n_mels: !ref <n_mels>

mean_var_norm: !new:speechbrain.processing.features.InputNormalization
    norm_type: sentence
    std_norm: False

embedding_model: !new:speechbrain.lobes.models.ECAPA_TDNN.ECAPA_TDNN
    input_size: !ref <n_mels>
    channels: {channels}
    kernel_sizes: {kernel_sizes}
    dilations: {dilations}
    attention_channels: {attention_channels}
    se_channels: {se_channels}
    lin_neurons: !ref <lin_neurons>

mean_var_norm_emb: !new:speechbrain.processing.features.InputNormalization
    norm_type: global
    std_norm: False

modules:
    compute_features: !ref <compute_features>
    mean_var_norm: !ref <mean_var_norm>
    embedding_model: !ref <embedding_model>
    mean_var_norm_emb: !ref <mean_var_norm_emb>

pretrainer: !new:speechbrain.utils.parameter_transfer.Pretrainer
    loadables:
        embedding_model: !ref <embedding_model>
    paths:
        embedding_model: embedding_model.ckpt
"""


def write_ecapa(student: Student, folder: Path) -> None:
    """`hyperparams.yaml` and `embedding_model.ckpt` (fp16)."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "hyperparams.yaml").write_text(_HYPERPARAMS.format(**SHAPE), "utf-8")
    state = {
        name: tensor.detach().cpu().half() if tensor.is_floating_point() else tensor.cpu()
        for name, tensor in student.network.state_dict().items()
    }
    torch.save(state, folder / "embedding_model.ckpt")
