"""The networks that all voices share, as a store has them: encoders of content, text and speaker, vocoders, readings.

A table of what reads each, what it will weigh and which content it is. Knows nothing of who needs one, nor of when it
comes and goes.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from math import prod
from pathlib import Path
from typing import Any, Final

import torch

from voxswap_server.errors import AssetMissing
from voxswap_server.nn.ap_bwe import SuperSampler
from voxswap_server.nn.bert import TextEncoder
from voxswap_server.nn.ecapa import SpeakerEncoder
from voxswap_server.nn.eres2net import SpeakerVectorNet
from voxswap_server.nn.hubert import ContentEncoder
from voxswap_server.nn.native.team import Team
from voxswap_server.nn.vocoders import load_vocoder
from voxswap_store.assets import (
    CONTENT_ENCODERS,
    WEIGHTS,
    AssetManifest,
    asset_directory,
    asset_manifest,
    asset_spec,
    asset_state,
    content_address,
)
from voxswap_store.manifest import StoredFile
from voxswap_store.safetensors_header import BadHeader, read_header

SUPER_SAMPLER: Final = "ap_bwe"
POLYPHONES: Final = "g2pw"
_TOKENIZER: Final = frozenset({"tokenizer.json", "vocab.txt"})


def _in_tensors(directory: Path, _manifest: AssetManifest, dtype: torch.dtype) -> int:
    with (directory / WEIGHTS).open("rb") as opened:
        header = read_header(opened)
    return sum(prod(spec.shape) * dtype.itemsize for spec, _ in header.tensors.values())


def _as_on_disk(_directory: Path, manifest: AssetManifest, _dtype: torch.dtype) -> int:
    return sum(file.bytes for file in manifest.files)


@dataclass(frozen=True, slots=True)
class _Reader:
    """How a network is read."""

    load: Callable[..., Any]
    """From its folder and those of `tokenizer_of`; in a `dtype`, to a `device`."""
    dtype: torch.dtype | None = None
    """Whatever the device's precision is; None: the device's."""
    tokenizer_of: tuple[str, ...] = ()
    """Assets whose tokenizer it reads."""
    weigh: Callable[[Path, AssetManifest, torch.dtype], int] = _in_tensors
    """Its bytes in memory, from its folder."""
    on_host: bool = False
    """It computes on the CPU, whatever the device is."""
    by_team: bool = False
    """It takes threads for our kernels."""


def _content_encoder(width: int, directory: Path, *, dtype: torch.dtype, device: torch.device | str) -> ContentEncoder:
    encoder = ContentEncoder.from_directory(directory, dtype=dtype, device=device)
    if encoder.width != width:
        raise ValueError(f"its features have width {encoder.width}, not {width}")
    return encoder


def _polyphones(directory: Path, tokenizer: Path, **_: object) -> Any:
    from voxswap_server.text.chinese.g2pw import Polyphones  # noqa: PLC0415 - onnxruntime, for those who have the model

    return Polyphones(directory, tokenizer)


_SPEAKERS: Final = _Reader(
    lambda directory, *, device, **_: SpeakerEncoder.from_directory(directory, device=device), torch.float32
)
_NETWORKS: Final[Mapping[str, _Reader]] = {
    **{name: _Reader(partial(_content_encoder, width)) for width, name in CONTENT_ENCODERS.items()},
    "bert": _Reader(TextEncoder.from_directory),
    "eres2net": _Reader(SpeakerVectorNet.from_directory),
    "bigvgan": _Reader(partial(load_vocoder, "bigvgan"), by_team=True),
    "vocoder_v4": _Reader(partial(load_vocoder, "vocoder_v4"), by_team=True),
    SUPER_SAMPLER: _Reader(SuperSampler.from_directory, torch.float32),
    "ecapa": _SPEAKERS,
    "ecapa_small": _SPEAKERS,
    POLYPHONES: _Reader(_polyphones, tokenizer_of=("bert",), weigh=_as_on_disk, on_host=True),
}
"""Assets of the store that are networks of their own, and what reads them."""


@dataclass(frozen=True, slots=True)
class StoredNetwork:
    """A shared network that is installed."""

    name: str
    address: str
    """Content address of all that it is read from."""
    size_bytes: int
    """What it will take in memory."""
    files: Mapping[Path, str]
    """sha256 of each."""
    on_host: bool
    """It computes on the CPU, whatever the device is."""


def installed(root: Path, name: str) -> bool:
    """Whether there is something of it in the store, be it of use or not."""
    state = asset_state(root, name)
    return state.manifest is not None or bool(state.problem)


def network_address(root: Path, name: str) -> str:
    """Content address of a network as the store has it now.

    Raises:
        AssetMissing: it, or what it reads besides, is not installed, or broken.
    """
    return content_address(_files(root, name).values())


def stored_network(root: Path, name: str, dtype: torch.dtype) -> StoredNetwork:
    """A network as the store has it now, for a device of this precision.

    Raises:
        AssetMissing: as `network_address`; or its weights cannot be read.
    """
    reader, files = _NETWORKS[name], _files(root, name)
    try:
        size_bytes = reader.weigh(asset_directory(root, name), asset_manifest(root, name), reader.dtype or dtype)
    except (OSError, BadHeader) as error:
        raise unusable(name, error) from error
    hashes = {path: file.sha256 for path, file in files.items()}
    return StoredNetwork(name, content_address(files.values()), size_bytes, hashes, reader.on_host)


def load_network(
    root: Path,
    name: str,
    *,
    dtype: torch.dtype = torch.float32,
    device: torch.device | str = "cpu",
    team: Team | None = None,
) -> Any:
    """Reads one shared network from a store; a team runs our kernels, where those compute a part of it.

    Raises:
        AssetMissing: it is not installed, or broken.
    """
    reader = _NETWORKS[name]
    directories = [asset_directory(root, read) for read in (name, *reader.tokenizer_of)]
    threads = {"team": team} if reader.by_team else {}
    try:
        return reader.load(*directories, dtype=dtype, device=device, **threads)
    except (OSError, ValueError) as error:
        raise unusable(name, error) from error


def network_loaders(
    root: Path, *, dtype: torch.dtype = torch.float32, device: torch.device | str = "cpu"
) -> Mapping[str, Callable[[], Any]]:
    """How each shared network is loaded from a store; `AssetMissing` while it is not installed."""
    return {name: partial(load_network, root, name, dtype=dtype, device=device) for name in _NETWORKS}


def unusable(name: str, error: OSError | ValueError) -> AssetMissing:
    """What is told of a network whose files are there and of no use."""
    spec = asset_spec(name)
    problem = error.strerror if isinstance(error, OSError) else error  # never a path
    return AssetMissing(spec.title, f"what is installed cannot be used ({problem}); {spec.remedy}")


def _files(root: Path, name: str) -> Mapping[Path, StoredFile]:
    """All that it is read from."""
    files = {root / "assets" / name / file.name: file for file in asset_manifest(root, name).files}
    for other in _NETWORKS[name].tokenizer_of:
        texts = (file for file in asset_manifest(root, other).files if file.name in _TOKENIZER)
        files |= {root / "assets" / other / file.name: file for file in texts}
    return files
