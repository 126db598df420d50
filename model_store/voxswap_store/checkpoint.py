"""A checkpoint of GPT-SoVITS: which half it is, and what it says of itself.

Knows nothing of our own layout: names, shapes and values are upstream's.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from torch import Tensor

from voxswap_store.errors import BadTensor, NotACheckpoint
from voxswap_store.progress import Progress
from voxswap_store.reader import read_contents
from voxswap_store.sandbox.limits import Limits
from voxswap_store.versions import SovitsFacts
from voxswap_store.weights import non_finite

Kind = Literal["t2s", "sovits", "state"]
"""A T2S half (`.ckpt`), a SoVITS half (`.pth`), or a bare dict of tensors (the shared networks)."""


@dataclass(frozen=True)
class Checkpoint:
    """An upstream file, read."""

    kind: Kind
    weight: dict[str, Tensor]
    config: dict[str, Any]
    info: str
    head: str
    """The first two bytes: PK, or one of upstream's version heads."""
    lora_rank: int | None
    start_md5: str
    """Of the first 8192 bytes."""
    protections: tuple[str, ...]
    """What held the reader while it read."""

    @property
    def facts(self) -> SovitsFacts:
        """What `versions.detect` asks for."""
        model = self.config.get("model", {})
        version = model.get("version") if isinstance(model, dict) else None
        shapes = {name: tuple(tensor.shape) for name, tensor in self.weight.items()}
        said = version if isinstance(version, str) else ""
        return SovitsFacts(self.head, self.start_md5, shapes, said, self.lora_rank)


def read_checkpoint(
    source: Path | bytes,
    *,
    limits: Limits | None = None,
    scratch: Path | None = None,
    progress: Progress | None = None,
) -> Checkpoint:
    """Reads a file that may come from anyone.

    Args:
        source: path, or the bytes of the file.
        limits: what it may ask for.
        scratch: directory for anonymous files; None is the system's own.
        progress: told of bytes done.

    Raises:
        CheckpointError: of the class that says what is wrong with it; nothing of the file was run.
        OSError: the path cannot be opened.
    """
    raw = read_contents(source, limits=limits, scratch=scratch, progress=progress)
    for name in non_finite(raw.tensors):
        raise BadTensor(name, "holds values that are no numbers (NaN or infinity)")
    config = raw.values.get("config", {})
    if not isinstance(config, dict):
        raise NotACheckpoint(f"its config is a {type(config).__name__} instead of a table")
    rank = raw.values.get("lora_rank")
    return Checkpoint(
        kind=_kind(raw.tensors, config),
        weight=raw.tensors,
        config=config,
        info=str(raw.values.get("info", "")),
        head=raw.head,
        lora_rank=rank if type(rank) is int else None,
        start_md5=raw.start_md5,
        protections=raw.protections,
    )


def _kind(weight: Mapping[str, Tensor], config: Mapping[str, Any]) -> Kind:
    if not config:
        return "state"
    if any(name.startswith("model.ar_") for name in weight):
        return "t2s"
    return "sovits"
