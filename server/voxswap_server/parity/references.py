"""Reference clips: their own features, and each stage of them against what upstream made of the same file.

Knows nothing of voices; prompt tokens and speakers are the decoder's business.
"""

from collections.abc import Callable, Mapping
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from voxswap_server.audio.decode import Decoded, decode
from voxswap_server.nn.eres2net import filter_bank
from voxswap_server.nn.reference import (
    CONTENT_RATE_HZ,
    SPECTRUM_RATE_HZ,
    ReferenceFeatures,
    content_wave,
    encode_reference,
    log_mel,
    mix_down,
    resample,
    spectrum,
    timbre_wave,
)
from voxswap_server.nn.specs import SPECS, VersionSpec
from voxswap_server.parity.compare import Row, Stage, failed
from voxswap_server.parity.errors import BadGoldens
from voxswap_server.parity.networks import Networks

_MAX_S = 60.0
_MAX_BYTES = 64 * 2**20
_TAIL_SAMPLES = 9600
_BANDS = 80
_MELS = {"mel24k": "v3", "mel32k": "v4"}


class References:
    """Clips of a directory of goldens, encoded by our networks; each once for each kind of version."""

    def __init__(self, root: Path, networks: Networks) -> None:
        self._directory = root / "shared"
        self._networks = networks
        self._encoded: dict[tuple[str, bool, str | None], ReferenceFeatures] = {}

    def features(self, key: str, spec: VersionSpec, *, auxiliary: bool = False) -> ReferenceFeatures:
        """Everything that a version's decoder asks of clip `key`."""
        place = (key, auxiliary, spec.version)
        if place not in self._encoded:
            clip = self._clip(key)
            with torch.inference_mode():
                self._encoded[place] = encode_reference(
                    clip.samples,
                    clip.rate_hz,
                    spec,
                    content=None if auxiliary else self._networks.content_encoder.features,
                    speaker_vector=self._networks.speaker_vector_net.vector if spec.speaker_vector else None,
                )
        return self._encoded[place]

    def stored(self) -> list[str]:
        """Clips whose stages are stored."""
        paths = self._directory.glob("ref_*.stages.npz")
        return sorted(path.name.removeprefix("ref_").removesuffix(".stages.npz") for path in paths)

    def rows(self, key: str) -> list[Row]:
        """One row for each stored stage of clip `key`."""
        name = f"shared/ref_{key}"
        stored = np.load(self._directory / f"ref_{key}.stages.npz")
        clip = self._clip(key)
        rows = []
        for stage_name in stored.files:
            compute = _STAGES.get(stage_name)
            if compute is None:
                rows.append(failed(name, stage_name, "the tool knows no such stage"))
                continue
            stage = Stage(name, stage_name)
            with torch.inference_mode():
                stage.tensors(compute(mix_down(clip.samples), clip.rate_hz, self._networks), stored[stage_name])
            rows.append(stage.row())
        return rows

    def _clip(self, key: str) -> Decoded:
        path = self._directory / f"ref_{key}.wav"
        try:
            return decode(path.read_bytes(), max_s=_MAX_S, max_bytes=_MAX_BYTES)
        except OSError as error:
            raise BadGoldens(f"the reference clip {path.name} cannot be read") from error


_Compute = Callable[[NDArray[np.float32], int, Networks], Tensor]


def _wave16k(mono: NDArray[np.float32], rate_hz: int, _networks: Networks) -> Tensor:
    return content_wave(mono, rate_hz)[0, :-_TAIL_SAMPLES]


def _content(mono: NDArray[np.float32], rate_hz: int, networks: Networks) -> Tensor:
    return networks.content_encoder.features(content_wave(mono, rate_hz))[0]


def _sinc16k(mono: NDArray[np.float32], rate_hz: int) -> Tensor:
    return resample(timbre_wave(mono, rate_hz), SPECTRUM_RATE_HZ, CONTENT_RATE_HZ)


def _mel(version: str) -> _Compute:
    flow = SPECS[version].flow
    if flow is None:
        raise ValueError(f"{version} has no mel spectrogram")
    return lambda mono, rate_hz, _networks: log_mel(mono, rate_hz, flow.mel)[0]


_STAGES: Mapping[str, _Compute] = {
    "wav16k": _wave16k,
    "ssl": _content,
    "spec": lambda mono, rate_hz, _: spectrum(timbre_wave(mono, rate_hz))[0],
    "wav32k": lambda mono, rate_hz, _: timbre_wave(mono, rate_hz)[0],
    "wav32k_absmax": lambda mono, rate_hz, _: timbre_wave(mono, rate_hz).abs().max(),
    "wav32k_len": lambda mono, rate_hz, _: torch.tensor(timbre_wave(mono, rate_hz).shape[1]),
    "sv_fbank": lambda mono, rate_hz, _: filter_bank(_sinc16k(mono, rate_hz), _BANDS),
    "sv_emb": lambda mono, rate_hz, networks: networks.speaker_vector_net.vector(_sinc16k(mono, rate_hz))[0],
    **{name: _mel(version) for name, version in _MELS.items()},
}
"""Stored stage to how we make it of the mono signal."""
