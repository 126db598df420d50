"""Brings voices from the store into memory: the `VoiceLoader` that residency stands on.

The only file that knows both the files of the store and the networks. A part is one file, addressed by its sha256; its
size in memory follows from its header and from the precision of the device.
"""

import hashlib
import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from math import prod
from pathlib import Path
from typing import Any, cast

import torch
from torch import Tensor

from voxswap_server.domain import Prompt
from voxswap_server.engine import stored_prompt
from voxswap_server.engine.device import Device, give_back_to_the_system, is_exhausted
from voxswap_server.engine.memory import TensorSet, copied_to, size_of
from voxswap_server.engine.networks import SharedNetworks
from voxswap_server.engine.residency.contract import DeviceOutOfMemory, LoadedPart, LoadPlan, PartPlan
from voxswap_server.engine.voice import PromptAudio, Voice
from voxswap_server.errors import VoiceUnusable
from voxswap_server.nn.decoder import Decoder
from voxswap_server.nn.decoders import load_decoder
from voxswap_server.nn.specs import spec_of
from voxswap_server.nn.t2s import T2S, T2SConfig
from voxswap_store.assets import base_file
from voxswap_store.catalogue import Catalogue, VoiceEntry
from voxswap_store.safetensors_header import BadHeader, read_header
from voxswap_store.weights import Weights, load_weights


@dataclass(frozen=True, slots=True)
class _Source:
    """Where a part is, and how it becomes a value."""

    voice_id: str
    path: Path
    sha256: str
    build: Callable[[Weights], object]


class StoreLoader:
    """Implements `residency.VoiceLoader` over a catalogue and a device."""

    def __init__(self, catalogue: Catalogue, device: Device, networks: SharedNetworks) -> None:
        self._catalogue = catalogue
        self._device = device
        self._networks = networks
        self._verified = _Verified()

    @property
    def host_tier(self) -> bool:
        return self._device.is_cuda

    def plan(self, voice_id: str) -> LoadPlan:
        """As `VoiceLoader.plan`: reads the manifest and the headers of its files."""
        entry = self._catalogue.get(voice_id)
        files, base = entry.manifest.files, entry.manifest.base_sha256
        parts = [self._part(entry, entry.path(files.t2s), files.t2s.sha256, self._t2s)]
        decoder = self._decoder if base is None else self._tensors
        parts.append(self._part(entry, entry.path(files.decoder), files.decoder.sha256, decoder))
        if base is not None:
            path = base_file(self._catalogue.root, entry.manifest.version)
            parts.append(self._part(entry, path, base, self._tensors))
        if files.prompt is not None:
            parts.append(self._part(entry, entry.path(files.prompt), files.prompt.sha256, self._prompt))
        return LoadPlan(entry.revision, tuple(parts), source=entry)

    def load_part(self, part: PartPlan) -> LoadedPart:
        """As `VoiceLoader.load_part`."""
        source = cast("_Source", part.source)
        try:
            self._verified.check(source)
            value = source.build(self._apart(load_weights(source.path, pin_memory=self._device.is_cuda)))
        except (OSError, BadHeader, ValueError) as error:
            raise VoiceUnusable(source.voice_id, f"{source.path.name}: {_told(error)}") from error
        except (MemoryError, RuntimeError) as error:
            if is_exhausted(error):
                raise DeviceOutOfMemory from error
            raise
        return LoadedPart(part.key, value, size_of(value))

    def demote(self, part: LoadedPart) -> LoadedPart:
        return self._moved(part, torch.device("cpu"))

    def promote(self, part: LoadedPart) -> LoadedPart:
        try:
            return self._moved(part, self._device.device)
        except (MemoryError, RuntimeError) as error:
            if is_exhausted(error):
                raise DeviceOutOfMemory from error
            raise

    def assemble(self, voice_id: str, plan: LoadPlan, parts: Sequence[LoadedPart]) -> Voice:  # noqa: ARG002 - the plan's source knows it
        """As `VoiceLoader.assemble`."""
        entry = cast("VoiceEntry", plan.source)
        t2s, decoder, *prompt = parts
        spoken, key = decoder.value, decoder.key
        if entry.manifest.base_sha256 is not None:
            base, *prompt = prompt
            spoken, key = self._over_base(cast("TensorSet", decoder.value), base), f"{decoder.key}+{base.key}"
        return Voice(
            manifest=entry.manifest,
            spec=spec_of(entry.manifest.version),
            t2s=cast("T2S", t2s.value),
            t2s_key=t2s.key,
            decoder=cast("Decoder", spoken),
            decoder_key=key,
            prompt=_prompt_of(entry),
            stored_prompt=cast("PromptAudio", prompt[0].value) if prompt else None,
        )

    def release(self, part: LoadedPart) -> None:
        """As `VoiceLoader.release`: the last reference goes, then the heap is trimmed."""
        part.value = None
        give_back_to_the_system()

    def _part(self, entry: VoiceEntry, path: Path, sha256: str, build: Callable[[Weights], object]) -> PartPlan:
        try:
            with path.open("rb") as opened:
                header = read_header(opened)
        except (OSError, BadHeader) as error:
            raise VoiceUnusable(entry.voice_id, f"{path.name}: {_told(error)}") from error
        itemsize = self._device.dtype.itemsize
        size_bytes = sum(prod(spec.shape) * itemsize for spec, _ in header.tensors.values())
        return PartPlan(sha256, size_bytes, _Source(entry.voice_id, path, sha256, build))

    def _apart(self, weights: Weights) -> Weights:
        """Where some tensors will be converted, the others must not keep the block of all of them alive."""
        dtypes = {tensor.dtype for tensor in weights.tensors.values()}
        if self._device.is_cuda or self._device.dtype not in dtypes or len(dtypes) == 1:
            return weights
        tensors = {
            name: tensor.clone() if tensor.dtype == self._device.dtype else tensor
            for name, tensor in weights.tensors.items()
        }
        return replace(weights, tensors=tensors)

    def _t2s(self, weights: Weights) -> T2S:
        config = T2SConfig.from_dict(weights.config)
        return T2S.from_tensors(config, weights.tensors, dtype=self._device.dtype, device=self._device.device)

    def _decoder(self, weights: Weights) -> Decoder:
        return self._network(weights.config, weights.tensors)

    def _tensors(self, weights: Weights) -> TensorSet:
        """Of a LoRA or of its base: in the device's precision, so that what is put together of them copies nothing."""
        device, dtype = self._device.device, self._device.dtype
        return TensorSet(weights.config, {name: tensor.to(device, dtype) for name, tensor in weights.tensors.items()})

    def _over_base(self, lora: TensorSet, base: LoadedPart) -> Decoder:
        """What a LoRA and its base are together; the base's memory is shared with whoever else lies on it."""
        below = cast("TensorSet", base.value)
        return self._network(lora.config, {**below.tensors, **lora.tensors})

    def _network(self, config: Mapping[str, Any], tensors: Mapping[str, Tensor]) -> Decoder:
        needed = spec_of(config["version"]).vocoder
        vocoder = self._networks.get(needed).result() if needed else None
        return load_decoder(config, tensors, vocoder=vocoder, dtype=self._device.dtype, device=self._device.device)

    def _prompt(self, weights: Weights) -> PromptAudio:
        return stored_prompt.from_tensors(weights.tensors, self._device.device)

    def _moved(self, part: LoadedPart, to: torch.device) -> LoadedPart:
        value = copied_to(part.value, to)
        return LoadedPart(part.key, value, size_of(value))


class _Verified:
    """Which files were compared with their sha256 already: each is hashed once for as long as it does not change."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._seen: dict[str, tuple[int, ...]] = {}

    def check(self, source: _Source) -> None:
        """Compares a file with its address.

        Raises:
            ValueError: it is another file.
            OSError: it cannot be read.
        """
        status = source.path.stat()
        identity = (status.st_dev, status.st_ino, status.st_size, status.st_mtime_ns)
        with self._lock:
            if self._seen.get(source.sha256) == identity:
                return
        with source.path.open("rb") as file:
            if hashlib.file_digest(file, "sha256").hexdigest() != source.sha256:
                raise ValueError("it is not the file that the manifest describes")
        with self._lock:
            self._seen[source.sha256] = identity


def _told(error: Exception) -> str:
    """What may be told of an error: never a path."""
    return (error.strerror or "it cannot be read") if isinstance(error, OSError) else str(error)


def _prompt_of(entry: VoiceEntry) -> Prompt | None:
    """The reference audio as it was given."""
    files, text = entry.manifest.files, entry.manifest.prompt
    if files.reference is None:
        return None
    try:
        main, *others = (entry.path(file).read_bytes() for file in (files.reference, *files.auxiliary))
    except OSError as error:
        raise VoiceUnusable(entry.voice_id, f"the reference audio: {_told(error)}") from error
    return Prompt(main, text.transcript, text.spoken, tuple(others))
