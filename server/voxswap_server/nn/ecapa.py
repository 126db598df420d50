"""ECAPA-TDNN: speech to an embedding of who speaks (Desplanques et al. 2020), with SpeechBrain's own classes.

Filter bank, normalisation over the clip and network are SpeechBrain's, put together as its `EncoderClassifier` does;
what is ours is the way in: tensors from safetensors instead of pickles, settings from JSON instead of a program. Knows
nothing of voices and of audio files.
"""

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Self

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from voxswap_server._speechbrain import drop_redirects
from voxswap_server.nn.adopt import adopt, parse_config
from voxswap_server.nn.pretrained import read_config, read_tensors, tensor_names

RATE_HZ = 16_000
_COUNTER = ".num_batches_tracked"
"""Batch norm counts its training in it. It is not stored, and nothing here reads it."""


@dataclass(frozen=True, slots=True)
class EcapaConfig:
    bands: int
    f_min_hz: float
    f_max_hz: float
    fft_samples: int
    window_ms: float
    hop_ms: float
    scale_deviation: bool
    """Whether the bands are divided by their deviation over the clip; their mean is always taken off."""
    channels: tuple[int, ...]
    kernel_sizes: tuple[int, ...]
    dilations: tuple[int, ...]
    attention_channels: int
    res2net_scale: int
    se_channels: int
    embedding_dim: int
    global_context: bool


class SpeakerEncoder:
    """A wave in, an embedding of length 1 out.

    Args:
        features: (1, n) -> (1, T, bands), log energies in dB.
        normalization: over the clip.
        network: (1, T, bands) -> (1, 1, embedding_dim).
        config: what they were made from.
    """

    def __init__(self, features: nn.Module, normalization: nn.Module, network: nn.Module, config: EcapaConfig) -> None:
        self._features = features
        self._normalization = normalization
        self._network = network
        self.config = config

    @classmethod
    def from_directory(cls, directory: Path, *, device: torch.device | str = "cpu") -> Self:
        """Reads a directory with `config.json` and `model.safetensors`, as `layout_ecapa` translates them.

        Always in fp32: SpeechBrain's pooling mixes fp32 into whatever precision it is given.

        Raises:
            OSError: a file cannot be read.
            ValueError: tensors and config do not fit each other.
        """
        # Here, because SpeechBrain takes two seconds to import, and only those who ask for a speaker should pay them.
        from speechbrain.lobes.features import Fbank  # noqa: PLC0415
        from speechbrain.processing.features import InputNormalization  # noqa: PLC0415

        drop_redirects()
        config = parse_config(EcapaConfig, read_config(directory))
        wanted = tensor_names(lambda: _network(config))
        tensors = read_tensors(directory, (name for name in wanted if not name.endswith(_COUNTER)))
        tensors |= {name: torch.zeros(()) for name in wanted if name.endswith(_COUNTER)}
        features = Fbank(
            sample_rate=RATE_HZ,
            f_min=config.f_min_hz,
            f_max=config.f_max_hz,
            n_fft=config.fft_samples,
            n_mels=config.bands,
            win_length=config.window_ms,
            hop_length=config.hop_ms,
        )
        normalization = InputNormalization(norm_type="sentence", std_norm=config.scale_deviation)
        network = adopt(lambda: _network(config), tensors, device=device)
        return cls(features.eval(), normalization.eval(), network, config)

    @property
    def modules(self) -> tuple[nn.Module, ...]:
        return (self._features, self._normalization, self._network)

    @torch.inference_mode()
    def embedding(self, wave: Tensor) -> Tensor:
        """Wave (1, n) at 16 kHz, in -1..1, at least half a second -> (embedding_dim,) float32 of length 1.

        Raises:
            ValueError: the network gives no numbers, or nothing but zeros.
        """
        device = next(self._network.parameters()).device
        raw = self._network(self._normalization(self._features(wave.to(device))))[0, 0]
        if not raw.isfinite().all() or not raw.any():
            raise ValueError("the speaker network gives no direction for this audio")
        return F.normalize(raw, dim=0)


def _network(config: EcapaConfig) -> nn.Module:
    from speechbrain.lobes.models.ECAPA_TDNN import ECAPA_TDNN  # noqa: PLC0415 - as above

    drop_redirects()
    settings: dict[str, Any] = asdict(config)
    named = ("attention_channels", "res2net_scale", "se_channels", "global_context")
    # SpeechBrain's own lists are written to nowhere, but lists it wants: it asks for their length and for items.
    lists = {name: list(settings[name]) for name in ("channels", "kernel_sizes", "dilations")}
    network: nn.Module = ECAPA_TDNN(
        config.bands,
        lin_neurons=config.embedding_dim,
        groups=[1] * len(config.channels),
        **lists,
        **{name: settings[name] for name in named},
    )
    return network
