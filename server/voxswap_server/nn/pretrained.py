"""Reads a directory that holds one network: `config.json` and `model.safetensors`, as the store writes its assets.

Knows no network by name. Nothing is fetched and nothing is unpickled; tensors that nobody asks for are not read.
"""

import json
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any, TypeVar, cast

import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor, nn

from voxswap_server.nn.adopt import adopt

M = TypeVar("M", bound=nn.Module)


def read_config(directory: Path) -> dict[str, Any]:
    """The network's config.

    Raises:
        OSError: the file cannot be read.
        ValueError: it is not JSON.
    """
    return cast("dict[str, Any]", json.loads((directory / "config.json").read_text("utf-8")))


def load_network(
    build: Callable[[], M],
    directory: Path,
    *,
    prefix: str = "",
    dtype: torch.dtype = torch.float32,
    device: torch.device | str = "cpu",
) -> M:
    """A network around the tensors of its directory, where they have the network's own names.

    Args:
        build: makes it.
        directory: with `model.safetensors`.
        prefix: that the names in the file may have before them.
        dtype: of the computation.
        device: where it runs.

    Raises:
        OSError: the file cannot be read.
        ValueError: it is damaged, or its tensors do not fit.
    """
    tensors = read_tensors(directory, tensor_names(build), prefix=prefix)
    return adopt(build, tensors, dtype=dtype, device=device)


def tensor_names(build: Callable[[], nn.Module]) -> list[str]:
    """What a network calls its tensors; none of them is made."""
    with torch.device("meta"):
        return list(build().state_dict())


def read_tensors(directory: Path, wanted: Iterable[str], *, prefix: str = "") -> dict[str, Tensor]:
    """Those of the wanted tensors that the file has, with or without a prefix before their names.

    Raises:
        OSError: the file cannot be read.
        ValueError: it is damaged.
    """
    try:
        with safe_open(directory / "model.safetensors", "pt") as file:
            stored = set(file.keys())
            found = {name: next((n for n in (name, prefix + name) if n in stored), None) for name in wanted}
            return {name: file.get_tensor(source) for name, source in found.items() if source is not None}
    except SafetensorError as error:
        raise ValueError(f"its tensors are damaged: {error}") from error
