"""Writes the files of a manifest in upstream's true formats, so that parity covers the importer too.

Knows the formats (SPEC §1) and nothing of what the tensors are for.
"""

import io
from collections import OrderedDict
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from voxswap_server.demo.hparams import as_hparams
from voxswap_server.parity.errors import BadGoldens
from voxswap_server.parity.golden_weights import Manifest, build_tensors

_ZIP_HEAD = "PK"
_DONE_SUFFIX = ".materialized"


def materialize(manifest: Manifest, directory: Path) -> Path:
    """Rebuilds the file (or directory of files) that a manifest describes, below `directory`; returns its path.

    What an earlier call finished is left as it is.

    Raises:
        BadGoldens: the rebuilt tensors are not those of the manifest, or it names a file outside.
    """
    target = directory / manifest.file
    if not target.resolve().is_relative_to(directory.resolve()):
        raise BadGoldens(f"a manifest names the file {manifest.file!r}, outside its directory")
    done = target.with_name(target.name + _DONE_SUFFIX)
    if done.exists() and done.read_text("utf-8") == manifest.sha256:
        return target
    target.parent.mkdir(parents=True, exist_ok=True)
    _WRITERS[manifest.format](manifest, build_tensors(manifest), target)
    done.write_text(manifest.sha256, "utf-8")
    return target


def _write_t2s(manifest: Manifest, tensors: dict[str, Tensor], target: Path) -> None:
    content = {"weight": OrderedDict(tensors), "config": manifest.config, "info": manifest.info}
    torch.save(OrderedDict(content), target)


def _write_sovits(manifest: Manifest, tensors: dict[str, Tensor], target: Path) -> None:
    with as_hparams(manifest.config) if manifest.config_class else nullcontext(manifest.config) as config:
        content: OrderedDict[str, Any] = OrderedDict(weight=dict(tensors), config=config, info=manifest.info)
        if manifest.lora_rank is not None:
            content["lora_rank"] = manifest.lora_rank
        if manifest.head == _ZIP_HEAD:
            torch.save(content, target)  # by path: the folder within the zip is then named like the file
            return
        buffer = io.BytesIO()
        torch.save(content, buffer)
    data = buffer.getbuffer()
    with target.open("wb") as file:
        file.write(manifest.head.encode("ascii"))
        file.write(data[len(manifest.head) :])


def _write_state(_manifest: Manifest, tensors: dict[str, Tensor], target: Path) -> None:
    torch.save(tensors, target)


def _write_hugging_face(manifest: Manifest, tensors: dict[str, Tensor], target: Path) -> None:
    _write_beside(manifest, target)
    torch.save(tensors, target / "pytorch_model.bin")


def _write_bigvgan(manifest: Manifest, tensors: dict[str, Tensor], target: Path) -> None:
    _write_beside(manifest, target)
    torch.save({"generator": tensors}, target / "bigvgan_generator.pt")


def _write_beside(manifest: Manifest, target: Path) -> None:
    target.mkdir(exist_ok=True)
    for name, text in manifest.files.items():
        (target / name).write_text(text, "utf-8")


_WRITERS = {
    "s1": _write_t2s,
    "s2": _write_sovits,
    "state": _write_state,
    "hf": _write_hugging_face,
    "bigvgan": _write_bigvgan,
}
