"""What the engine knows of T2S, whichever way it is computed, and the table of those ways.

Knows nothing of files; tensors and config are as the store wrote them.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from math import prod
from types import MappingProxyType
from typing import Final, Literal, NamedTuple, Protocol, cast, get_args

import torch
from torch import Tensor

from voxswap_server.errors import RequestError
from voxswap_server.nn.native.compiler import processor
from voxswap_server.nn.native.team import Team
from voxswap_server.nn.t2s import T2S, KVCache, PrefillRow, T2SConfig
from voxswap_server.nn.t2s_native import NativeT2S, native_bytes, native_dtypes

BackendName = Literal["auto", "native", "torch"]
Precision = Literal["exact", "int8"]


class TokenModel(Protocol):
    """A network that reads prefixes and appends tokens. Immutable; the state of a row is its cache."""

    @property
    def config(self) -> T2SConfig: ...
    @property
    def device(self) -> torch.device: ...
    @property
    def tensors(self) -> Mapping[str, Tensor]:
        """All of its weights."""
        ...

    def new_cache(self, prefix_tokens: int, max_new_tokens: int) -> KVCache:
        """Room for a prefix (phones and prompt tokens together) and the tokens that may follow."""
        ...

    def prefill(self, rows: Sequence[PrefillRow]) -> Tensor:
        """Reads whole prefixes into their caches: logits of each row's first new token, (B, vocab) float32.

        Raises:
            TextTooLong: more phones or prompt tokens than there are positions.
            EngineError: an id is outside its vocabulary, or a cache has no room.
        """
        ...

    def step(self, tokens: Tensor, caches: Sequence[KVCache]) -> Tensor:
        """Appends one token to each row: tokens (B,) long -> logits of the next ones, (B, vocab) float32.

        Rows may join and leave between steps, in any order.

        Raises:
            EngineError: a cache is full.
        """
        ...


@dataclass(frozen=True, slots=True)
class Placement:
    """Where and how a network computes."""

    device: torch.device
    dtype: torch.dtype
    """Of activations."""
    team: Team
    """Runs our kernels, on CPUs."""


class Stored(NamedTuple):
    """A tensor of a file that was not read yet."""

    dtype: torch.dtype
    shape: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Backend:
    """One row of the table."""

    precisions: tuple[Precision, ...]
    fits: Callable[[Placement], bool]
    """Whether it runs there at all."""
    load: Callable[[T2SConfig, Mapping[str, Tensor], Placement, Precision], TokenModel]
    planned_bytes: Callable[[Mapping[str, Stored], Placement, Precision], int]
    """What the weights will take, exactly."""
    read_as: Callable[[Mapping[str, Stored], Placement, Precision], Mapping[str, torch.dtype]]
    """Which dtypes tensors should have when they are read: those that the backend computes from, where it can be."""


def load_t2s(
    config: T2SConfig,
    tensors: Mapping[str, Tensor],
    placement: Placement,
    *,
    backend: BackendName = "auto",
    precision: Precision = "exact",
) -> TokenModel:
    """T2S around stored tensors; adopts without a copy those that the backend computes from as they are.

    Raises:
        RequestError: the backend does not run there, or not in that precision.
        ValueError: tensors and config do not fit the network.
    """
    return BACKENDS[chosen(backend, placement, precision)].load(config, tensors, placement, precision)


def chosen(backend: BackendName, placement: Placement, precision: Precision = "exact") -> str:
    """The name of the backend that computes there; "auto" is the fastest that can.

    Raises:
        RequestError: that one cannot; the message says what can.
    """
    able = [name for name, row in BACKENDS.items() if row.fits(placement) and precision in row.precisions]
    if backend != "auto" and backend in able:
        return backend
    if backend != "auto" or not able:
        raise RequestError(
            f"T2S backend {backend!r} does not compute {precision} on {placement.device.type} in "
            f"{placement.dtype}; choose {' or '.join(['auto', *able]) if able else 'another precision'}"
        )
    return able[0]


def require_backend(name: str) -> BackendName:
    """The backend of this name.

    Raises:
        RequestError: there is none; the message lists the choices.
    """
    choices = get_args(BackendName)
    if name not in choices:
        raise RequestError(f"there is no T2S backend {name!r}; choices: {', '.join(choices)}")
    return cast("BackendName", name)


def _torch(config: T2SConfig, tensors: Mapping[str, Tensor], placement: Placement, _precision: Precision) -> TokenModel:
    return T2S.from_tensors(config, tensors, dtype=placement.dtype, device=placement.device)


def _native(config: T2SConfig, tensors: Mapping[str, Tensor], placement: Placement, precision: Precision) -> TokenModel:
    return NativeT2S.from_tensors(config, tensors, placement.team, int8=precision == "int8")


def _natively(placement: Placement) -> bool:
    return placement.device.type == "cpu" and placement.dtype == torch.float32 and processor().halves


def _torch_bytes(stored: Mapping[str, Stored], placement: Placement, _precision: Precision) -> int:
    return sum(prod(tensor.shape) for tensor in stored.values()) * placement.dtype.itemsize


def _torch_dtypes(
    stored: Mapping[str, Stored], placement: Placement, _precision: Precision
) -> Mapping[str, torch.dtype]:
    """A GPU converts faster, and takes fewer bytes over."""
    on_cpu = placement.device.type == "cpu"
    return {name: placement.dtype if on_cpu else tensor.dtype for name, tensor in stored.items()}


def _native_dtypes(
    stored: Mapping[str, Stored], _placement: Placement, precision: Precision
) -> Mapping[str, torch.dtype]:
    dtypes = {name: tensor.dtype for name, tensor in stored.items()}
    return native_dtypes(dtypes) if precision == "exact" else dtypes


def _native_bytes(stored: Mapping[str, Stored], _placement: Placement, precision: Precision) -> int:
    return native_bytes(stored, int8=precision == "int8")


BACKENDS: Final[Mapping[str, Backend]] = MappingProxyType(
    {
        "native": Backend(("exact", "int8"), _natively, _native, _native_bytes, _native_dtypes),
        "torch": Backend(("exact",), lambda _place: True, _torch, _torch_bytes, _torch_dtypes),
    }
)
"""Fastest first."""
