"""How well an encoder tells speakers apart: the equal error rate over all pairs of clips.

Knows nothing of voices and of how clips were made.
"""

import itertools
import tempfile
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from voxswap_server.nn.ecapa import SpeakerEncoder
from voxswap_store.asset_importer import import_assets
from voxswap_store.assets import asset_directory

Samples = NDArray[np.float32]
Embed = Callable[[Samples], NDArray[np.float32]]
"""Samples at 16 kHz to an embedding of length 1."""
_ASSET = "ecapa_small"


def our_encoder(folder: Path) -> Embed:
    """The ECAPA of a folder in SpeechBrain's layout, by way of the ordinary importer."""
    with tempfile.TemporaryDirectory() as store:
        import_assets(folder, Path(store), only=(_ASSET,))
        encoder = SpeakerEncoder.from_directory(asset_directory(Path(store), _ASSET))

    def embed(samples: Samples) -> NDArray[np.float32]:
        embedding: NDArray[np.float32] = encoder.embedding(torch.from_numpy(samples)[None]).numpy()
        return embedding

    return embed


def equal_error_rate(same: Sequence[float], different: Sequence[float]) -> float:
    """Where as many strangers pass as pairs of one speaker are refused, over all thresholds.

    Raises:
        ValueError: one kind of pair is missing.
    """
    if not same or not different:
        raise ValueError(f"{len(same)} pairs of one speaker and {len(different)} of two: both kinds are needed")
    own, others = np.sort(same), np.sort(different)
    thresholds = np.concatenate([own, others, [np.inf]])
    refused = np.searchsorted(own, thresholds) / len(own)
    passed = 1 - np.searchsorted(others, thresholds) / len(others)
    nearest = int(np.argmin(np.abs(refused - passed)))
    return float((refused[nearest] + passed[nearest]) / 2)


def error_rate(clips: Mapping[str, Sequence[Samples]], embed: Embed) -> tuple[float, int]:
    """Of all pairs of clips: (equal error rate, number of pairs).

    Args:
        clips: of each speaker.
        embed: the encoder.
    """
    heard = [(speaker, embed(clip)) for speaker, own in clips.items() for clip in own]
    same, different = list[float](), list[float]()
    for (speaker, first), (other, second) in itertools.combinations(heard, 2):
        (same if speaker == other else different).append(float(first @ second))
    return equal_error_rate(same, different), len(same) + len(different)


def by_speaker(folder: Path, read: Callable[[Path], Samples], separator: str) -> dict[str, list[Samples]]:
    """The clips of a folder; a file's name begins with its speaker's, up to the separator."""
    clips: dict[str, list[Samples]] = {}
    for file in sorted(path for path in folder.iterdir() if path.suffix in {".flac", ".wav"}):
        clips.setdefault(file.stem.split(separator)[0], []).append(read(file))
    return clips
