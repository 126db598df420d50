"""Networks that judge speech: what is said, how good it sounds, who speaks.

They come from the packages of `judges.txt`, weights included, and work offline. Knows nothing of voxswap's voices.
"""

import re
from functools import cached_property

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from voxswap_training.campplus import RATE_HZ, package_folder

Samples = NDArray[np.float32]

_GE2E_LEVEL_DB = -30.0
_GE2E_WINDOW_FRAMES, _GE2E_STEP_FRAMES = 160, 80


class Listener:
    """Moonshine tiny: speech to words."""

    def __init__(self) -> None:
        from moonshine_voice import ModelArch, Transcriber  # noqa: PLC0415 - loads its library

        folder = package_folder("moonshine_voice") / "assets" / "tiny-en"
        self._transcriber = Transcriber(model_path=str(folder), model_arch=ModelArch.TINY)

    def words(self, samples: Samples) -> list[str]:
        heard = self._transcriber.transcribe_without_streaming(samples.tolist(), RATE_HZ)
        return words_of(" ".join(line.text for line in heard.lines))


class Quality:
    """DistillMOS: a mean opinion score from 1 to 5."""

    def __init__(self) -> None:
        import distillmos  # noqa: PLC0415 - says on import what it loads

        self._network = distillmos.ConvTransformerSQAModel().eval()

    @torch.no_grad()
    def score(self, samples: Samples) -> float:
        return float(self._network(torch.from_numpy(samples)[None]))


class Ge2e(nn.Module):
    """The encoder of generalised end-to-end loss (Wan et al. 2018) with Resemblyzer's weights: who speaks."""

    def __init__(self) -> None:
        super().__init__()
        self.lstm = nn.LSTM(40, 256, 3, batch_first=True)
        self.linear = nn.Linear(256, 256)
        state = torch.load(package_folder("resemblyzer") / "pretrained.pt", map_location="cpu", weights_only=True)[
            "model_state"
        ]
        self.load_state_dict({name: state[name] for name in self.state_dict()})
        self.eval()

    @cached_property
    def _bank(self) -> Tensor:
        from torchaudio.functional import melscale_fbanks  # noqa: PLC0415 - the server's package must mend it first

        bank: Tensor = melscale_fbanks(201, 0, RATE_HZ / 2, 40, RATE_HZ, norm="slaney", mel_scale="slaney")
        return bank

    @torch.no_grad()
    def embedding(self, samples: Samples) -> NDArray[np.float32]:
        """(256,), of length 1: the mean over windows of 1.6 s."""
        wave = torch.from_numpy(samples)
        level_db = 10 * torch.log10(wave.square().mean().clamp_min(1e-10))
        wave = wave * 10 ** ((_GE2E_LEVEL_DB - level_db) / 20)
        power = torch.stft(wave, 400, 160, window=torch.hann_window(400), return_complex=True).abs().square()
        mel = power.T @ self._bank
        mel = nn.functional.pad(mel, (0, 0, 0, max(0, _GE2E_WINDOW_FRAMES - len(mel))))
        windows = mel.unfold(0, _GE2E_WINDOW_FRAMES, _GE2E_STEP_FRAMES).transpose(1, 2)
        _, (hidden, _) = self.lstm(windows)
        partial = nn.functional.normalize(torch.relu(self.linear(hidden[-1])))
        return _unit(partial.mean(0))


def words_of(text: str) -> list[str]:
    """Words as they are compared: small letters, no marks."""
    return re.sub(r"[^a-z' ]", " ", text.lower().replace("-", " ")).split()


def word_errors(said: list[str], heard: list[str]) -> int:
    """Words to change, add or drop (Levenshtein)."""
    row = list(range(len(heard) + 1))
    for count, word in enumerate(said, 1):
        corner, row[0] = row[0], count
        for column, other in enumerate(heard, 1):
            corner, row[column] = row[column], min(row[column] + 1, row[column - 1] + 1, corner + (word != other))
    return row[-1]


def _unit(vector: Tensor) -> NDArray[np.float32]:
    return nn.functional.normalize(vector.float(), dim=0).numpy()
