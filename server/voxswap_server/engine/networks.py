"""The networks that all voices share: encoders of content, text and speaker, and the vocoders.

What reads each from the store, and how those who need one take hold of it. Knows nothing of requests, and nothing of
when a network comes and goes: in a server that is residency's business, which holds voices by the same rules.
"""

import threading
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import Executor, Future
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, Final, Protocol

import torch

from voxswap_server.engine.residency.contract import Lease, network_id
from voxswap_server.errors import AssetMissing
from voxswap_server.nn.ap_bwe import SuperSampler
from voxswap_server.nn.bert import TextEncoder
from voxswap_server.nn.ecapa import SpeakerEncoder
from voxswap_server.nn.eres2net import SpeakerVectorNet
from voxswap_server.nn.hubert import ContentEncoder
from voxswap_server.nn.vocoders import load_vocoder
from voxswap_store.assets import CONTENT_ENCODERS, asset_directory, asset_spec


class _FromDirectory(Protocol):
    def __call__(self, directory: Path, *, dtype: torch.dtype, device: torch.device | str) -> Any: ...


@dataclass(frozen=True, slots=True)
class _Reader:
    """How a network is read."""

    load: _FromDirectory
    dtype: torch.dtype | None = None
    """Whatever the device's precision is; None: the device's."""


def _content_encoder(width: int, directory: Path, *, dtype: torch.dtype, device: torch.device | str) -> ContentEncoder:
    encoder = ContentEncoder.from_directory(directory, dtype=dtype, device=device)
    if encoder.width != width:
        raise ValueError(f"its features have width {encoder.width}, not {width}")
    return encoder


SUPER_SAMPLER: Final = "ap_bwe"
_SPEAKERS: Final = _Reader(
    lambda directory, *, device, **_: SpeakerEncoder.from_directory(directory, device=device), torch.float32
)
_NETWORKS: Final[Mapping[str, _Reader]] = {
    **{name: _Reader(partial(_content_encoder, width)) for width, name in CONTENT_ENCODERS.items()},
    "bert": _Reader(TextEncoder.from_directory),
    "eres2net": _Reader(SpeakerVectorNet.from_directory),
    "bigvgan": _Reader(partial(load_vocoder, "bigvgan")),
    "vocoder_v4": _Reader(partial(load_vocoder, "vocoder_v4")),
    SUPER_SAMPLER: _Reader(SuperSampler.from_directory, torch.float32),
    "ecapa": _SPEAKERS,
    "ecapa_small": _SPEAKERS,
}
"""Assets of the store that are networks of their own, and what reads them."""


class Networks(Protocol):
    """Where whoever computes with a shared network gets it."""

    def lease(self, name: str) -> AbstractContextManager["Future[Any]"]:
        """Until the block ends the network stays in memory. The future gives it, or the error of loading it."""
        ...


class _Residency(Protocol):
    def lease_later(self, voice_id: str) -> AbstractContextManager["Future[Lease[Any]]"]: ...


class ResidentNetworks:
    """Those of a server: leased like voices, in the same budget."""

    def __init__(self, residency: _Residency) -> None:
        self._residency = residency

    @contextmanager
    def lease(self, name: str) -> "Iterator[Future[Any]]":
        """As `Networks.lease`.

        Raises:
            VoxswapError: it failed to load only just now.
        """
        with self._residency.lease_later(network_id(name)) as leased:
            network: Future[Any] = Future()
            leased.add_done_callback(partial(_hand_on, network))
            yield network


def _hand_on(network: "Future[Any]", leased: "Future[Lease[Any]]") -> None:
    error = leased.exception()
    if error is None:
        network.set_result(leased.result().bundle)
    else:
        network.set_exception(error)


class OwnNetworks:
    """Those of a command: each is loaded at first use, once, and held to the end.

    Args:
        loaders: how to load each network; raises `AssetMissing` while its files are not there.
        executor: where loading runs.
    """

    def __init__(self, loaders: Mapping[str, Callable[[], Any]], executor: Executor) -> None:
        self._loaders = loaders
        self._executor = executor
        self._lock = threading.Lock()
        self._loaded: dict[str, Future[Any]] = {}

    @contextmanager
    def lease(self, name: str) -> "Iterator[Future[Any]]":
        """As `Networks.lease`. A failure is not remembered: the next call tries again."""
        with self._lock:
            future = self._loaded.get(name)
            if future is None or (future.done() and future.exception() is not None):
                future = self._loaded[name] = self._executor.submit(self._loaders[name])
        yield future


def network_loaders(
    root: Path, *, dtype: torch.dtype = torch.float32, device: torch.device | str = "cpu"
) -> Mapping[str, Callable[[], Any]]:
    """How each shared network is loaded from a store; `AssetMissing` while it is not installed."""
    return {name: partial(load_network, root, name, dtype=dtype, device=device) for name in _NETWORKS}


def network_dtype(name: str, dtype: torch.dtype) -> torch.dtype:
    """In which precision a network computes on a device of this one."""
    return _NETWORKS[name].dtype or dtype


def load_network(
    root: Path, name: str, *, dtype: torch.dtype = torch.float32, device: torch.device | str = "cpu"
) -> Any:
    """Reads one shared network from a store.

    Raises:
        AssetMissing: it is not installed, or broken.
    """
    directory = asset_directory(root, name)
    try:
        return _NETWORKS[name].load(directory, dtype=dtype, device=device)
    except (OSError, ValueError) as error:
        raise unusable(name, error) from error


def unusable(name: str, error: OSError | ValueError | KeyError) -> AssetMissing:
    """What is told of a network whose files are there and of no use."""
    spec = asset_spec(name)
    problem = error.strerror if isinstance(error, OSError) else error  # never a path
    return AssetMissing(spec.title, f"what is installed cannot be used ({problem}); {spec.remedy}")
