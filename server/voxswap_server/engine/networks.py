"""The networks that all voices share: encoders of content, text and speaker, and the vocoders.

Each is loaded at first use, once, off the device thread, and held from then on. Knows nothing of requests.
"""

import threading
from collections.abc import Callable, Mapping
from concurrent.futures import Executor, Future
from functools import partial
from pathlib import Path
from typing import Any, Final, Protocol

import torch

from voxswap_server.errors import AssetMissing
from voxswap_server.nn.bert import TextEncoder
from voxswap_server.nn.ecapa import SpeakerEncoder
from voxswap_server.nn.eres2net import SpeakerVectorNet
from voxswap_server.nn.hubert import ContentEncoder
from voxswap_server.nn.vocoders import load_vocoder
from voxswap_store.assets import asset_directory


class _FromDirectory(Protocol):
    def __call__(self, directory: Path, *, dtype: torch.dtype, device: torch.device | str) -> Any: ...


_NETWORKS: Final[Mapping[str, _FromDirectory]] = {
    "hubert": ContentEncoder.from_directory,
    "bert": TextEncoder.from_directory,
    "eres2net": SpeakerVectorNet.from_directory,
    "bigvgan": partial(load_vocoder, "bigvgan"),
    "vocoder_v4": partial(load_vocoder, "vocoder_v4"),
    "ecapa": lambda directory, *, device, **_: SpeakerEncoder.from_directory(directory, device=device),
}
"""Assets of the store that are networks of their own, and what reads them."""


def network_loaders(
    root: Path, *, dtype: torch.dtype = torch.float32, device: torch.device | str = "cpu"
) -> Mapping[str, Callable[[], Any]]:
    """How each shared network is loaded from a store; `AssetMissing` while it is not installed."""
    return {name: partial(load_network, root, name, dtype=dtype, device=device) for name in _NETWORKS}


def load_network(
    root: Path, name: str, *, dtype: torch.dtype = torch.float32, device: torch.device | str = "cpu"
) -> Any:
    """Reads one shared network from a store.

    Raises:
        AssetMissing: it is not installed, or broken.
    """
    directory = asset_directory(root, name)
    try:
        return _NETWORKS[name](directory, dtype=dtype, device=device)
    except (OSError, ValueError) as error:
        problem = error.strerror if isinstance(error, OSError) else error  # never a path
        raise AssetMissing(name, f"what is installed cannot be used ({problem}); import it again") from error


class SharedNetworks:
    """Single-flight, lazy loading by name.

    Args:
        loaders: how to load each network; raises `AssetMissing` while its files are not there.
        executor: where loading runs.
    """

    def __init__(self, loaders: Mapping[str, Callable[[], Any]], executor: Executor) -> None:
        self._loaders = loaders
        self._executor = executor
        self._lock = threading.Lock()
        self._loaded: dict[str, Future[Any]] = {}

    def get(self, name: str) -> "Future[Any]":
        """The network, or the error of loading it. A failure is not remembered: the next call tries again."""
        with self._lock:
            future = self._loaded.get(name)
            if future is None or (future.done() and future.exception() is not None):
                future = self._loaded[name] = self._executor.submit(self._loaders[name])
            return future
