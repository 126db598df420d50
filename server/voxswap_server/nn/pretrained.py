"""Reads a directory that holds one network: `config.json` and `model.safetensors`, as the store writes its assets.

Knows nothing of networks. Nothing is fetched and nothing is unpickled; tensors that nobody asks for are not read.
"""

import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any, cast

from safetensors import SafetensorError, safe_open
from torch import Tensor


def read_config(directory: Path) -> dict[str, Any]:
    """The network's config.

    Raises:
        OSError: the file cannot be read.
        ValueError: it is not JSON.
    """
    return cast("dict[str, Any]", json.loads((directory / "config.json").read_text("utf-8")))


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
