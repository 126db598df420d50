"""Brings voices and shared networks from the store into memory: the `VoiceLoader` that residency stands on.

The only file that knows both the files of the store and the networks. A part is one file, addressed by its sha256; its
size in memory follows from its header and from the precision of the device.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from math import prod
from pathlib import Path
from typing import Any, Final, cast

import torch
from torch import Tensor

from voxswap_server.engine import stored_prompt
from voxswap_server.engine.backends import EngineConfig, describe, placed
from voxswap_server.engine.device import Device, give_back_to_the_system, is_exhausted
from voxswap_server.engine.memory import TensorSet, copied_to, size_of
from voxswap_server.engine.residency.contract import (
    DeviceOutOfMemory,
    LoadedPart,
    LoadPlan,
    PartPlan,
    network_name,
)
from voxswap_server.engine.rounded import FOLDER as ROUNDED
from voxswap_server.engine.rounded import Counter, RoundedFiles, Uncounted
from voxswap_server.engine.slots import Slot, Slots, has_all_in
from voxswap_server.engine.stored_networks import StoredNetwork, load_network, stored_network, unusable
from voxswap_server.engine.voice import PromptAudio, Voice
from voxswap_server.engine.voice_files import VerifiedFiles, header_of, prompt_of, told
from voxswap_server.errors import RequestError, VoiceUnusable
from voxswap_server.nn.decoder import Decoder
from voxswap_server.nn.decoders import faster_decoder, in_bfloat16, load_decoder
from voxswap_server.nn.native.compiler import processor
from voxswap_server.nn.native.team import Team
from voxswap_server.nn.specs import spec_of
from voxswap_server.nn.t2s import T2SConfig
from voxswap_server.nn.t2s_backends import BACKENDS, Precision, Stored, TokenModel, chosen
from voxswap_server.nn.vocoder import Vocoder
from voxswap_store.assets import base_file
from voxswap_store.catalogue import Catalogue
from voxswap_store.entries import VoiceEntry
from voxswap_store.known_headers import KnownHeaders
from voxswap_store.memory_layout import DTYPES, Kinds
from voxswap_store.safetensors_header import BadHeader
from voxswap_store.weights import Weights, load_weights, read_again, read_weights, shape_of


@dataclass(frozen=True, slots=True)
class _Source:
    """Where a part is, and how it becomes a value."""

    voice_id: str
    path: Path
    sha256: str
    build: Callable[[Weights], object]
    dtype: torch.dtype | Kinds | None
    """What its tensors become while they are read; None leaves them as they are."""
    recipe: str | None = None
    """Networks of equal recipes are built alike, so that one can be read into the memory of another; None: never."""
    rounded: bool = False
    """What is built of it is kept, and read the next time."""


_DEFAULTS: Final = EngineConfig()
_SPARE_BYTES: Final = 512 << 20
"""Memory of evicted voices that the next ones are read into: about one voice on its way and one that goes."""
_WORTH_TRIMMING_BYTES: Final = 4 << 20
"""Below, what the heap gets back is used again sooner than the system would have it."""


class StoreLoader:
    """Implements `residency.VoiceLoader` over a catalogue and a device.

    Args:
        catalogue: of the voices.
        device: where they go.
        config: which way which voice is computed.
        rounded: told of look-ups of rounded weights.

    Raises:
        RequestError: the device cannot compute as the config asks for.
    """

    def __init__(
        self, catalogue: Catalogue, device: Device, config: EngineConfig = _DEFAULTS, rounded: Counter | None = None
    ) -> None:
        self._catalogue = catalogue
        self._device = device
        self._config = config
        self._placement = placed(device)
        describe(config, self._placement)  # what cannot be is said now, not with the first voice
        self._verified, self._headers = VerifiedFiles(), KnownHeaders()
        self._slots = Slots(_SPARE_BYTES)
        self._rounded = RoundedFiles(catalogue.root / ROUNDED, config.rounded_bytes, rounded or Uncounted())

    @property
    def _read_as(self) -> torch.dtype | None:
        """A GPU converts by itself, what it is sent is as small as it can be."""
        return None if self._device.is_cuda else self._device.dtype

    @property
    def _team(self) -> Team | None:
        """Of our kernels, which run on CPUs."""
        return None if self._device.is_cuda else self._placement.team

    @property
    def host_tier(self) -> bool:
        return self._device.is_cuda

    def plan(self, voice_id: str) -> LoadPlan:
        """As `VoiceLoader.plan`: reads the manifest and the headers of its files."""
        if (network := network_name(voice_id)) is not None:
            part = self._network_part(network)
            return LoadPlan(part.key, (part,))
        entry = self._catalogue.get(voice_id)
        files, base = entry.manifest.files, entry.manifest.base_sha256
        vocoder = spec_of(entry.manifest.version).vocoder
        parts = [self._t2s_part(entry)]
        if entry.voice_id in self._config.bf16_voices:
            parts.append(self._faster_part(entry))
        else:
            decoder = self._decoder if base is None and vocoder is None else self._tensors
            parts.append(self._part(entry, entry.path(files.decoder), files.decoder.sha256, decoder))
        if base is not None:
            path = base_file(self._catalogue.root, entry.manifest.version)
            parts.append(self._part(entry, path, base, self._tensors))
        if vocoder is not None:
            parts.append(self._network_part(vocoder))
        if files.prompt is not None:
            parts.append(self._part(entry, entry.path(files.prompt), files.prompt.sha256, self._prompt))
        return LoadPlan(entry.revision, tuple(parts), source=entry)

    def load_part(self, part: PartPlan) -> LoadedPart:
        """As `VoiceLoader.load_part`."""
        source = cast("_Source | StoredNetwork", part.source)
        try:
            value = self._network(source) if isinstance(source, StoredNetwork) else self._file(source)
        except (MemoryError, RuntimeError) as error:
            if is_exhausted(error):
                self._slots.clear()
                raise DeviceOutOfMemory from error
            raise
        size_bytes = self._slots.size_of(value)
        return LoadedPart(part.key, value, size_of(value) if size_bytes is None else size_bytes)

    def demote(self, part: LoadedPart) -> LoadedPart:
        return self._moved(part, torch.device("cpu"))

    def promote(self, part: LoadedPart) -> LoadedPart:
        try:
            return self._moved(part, self._device.device)
        except (MemoryError, RuntimeError) as error:
            if is_exhausted(error):
                raise DeviceOutOfMemory from error
            raise

    def assemble(self, voice_id: str, plan: LoadPlan, parts: Sequence[LoadedPart]) -> Any:
        """As `VoiceLoader.assemble`."""
        if network_name(voice_id) is not None:
            return parts[0].value
        entry = cast("VoiceEntry", plan.source)
        t2s, decoder, *prompt = parts
        spoken, key, vocoder = decoder.value, decoder.key, None
        below: Mapping[str, Tensor] = {}
        if entry.manifest.base_sha256 is not None:
            base, *prompt = prompt
            below, key = cast("TensorSet", base.value).tensors, f"{decoder.key}+{base.key}"
        if spec_of(entry.manifest.version).vocoder is not None:
            vocoder, *prompt = prompt
        if isinstance(spoken, TensorSet):
            spoken = self._joined(spoken, below, vocoder)
        return Voice(
            manifest=entry.manifest,
            spec=spec_of(entry.manifest.version),
            t2s=cast("TokenModel", t2s.value),
            t2s_key=t2s.key,
            decoder=cast("Decoder", spoken),
            decoder_key=key,
            prompt=prompt_of(entry),
            stored_prompt=cast("PromptAudio", prompt[0].value) if prompt else None,
        )

    def release(self, part: LoadedPart) -> None:
        """As `VoiceLoader.release`: the last reference goes, then the heap is trimmed if there was much of it on it."""
        in_a_slot = self._slots.size_of(part.value) is not None
        on_heap_bytes = 0 if in_a_slot else size_of(part.value, but_for=self._slots.blocks.is_lent)
        part.value = None
        if on_heap_bytes >= _WORTH_TRIMMING_BYTES or self._device.is_cuda:
            give_back_to_the_system()

    def _network_part(self, name: str) -> PartPlan:
        """One part for all of it: what else lies in its folder belongs to the weights.

        Raises:
            AssetMissing: it is not installed, or broken.
        """
        network = stored_network(self._catalogue.root, name, self._device.dtype)
        return PartPlan(network.address, network.size_bytes, network, host_copy=not network.on_host)

    def _network(self, source: StoredNetwork) -> object:
        try:
            for path, sha256 in source.files.items():
                self._verified.check(path, sha256)
        except (OSError, ValueError) as error:
            raise unusable(source.name, error) from error
        device, dtype = self._device.device, self._device.dtype
        network = load_network(self._catalogue.root, source.name, dtype=dtype, device=device, team=self._team)
        give_back_to_the_system()  # what it was read through
        return network

    def _file(self, source: _Source) -> object:
        try:
            if source.rounded:
                return self._in_eight_bits(source)
            if source.recipe is not None and not self._device.is_cuda:
                return self._in_a_slot(source, source.recipe)
            return source.build(self._weights(source))
        except (OSError, BadHeader, ValueError) as error:
            raise VoiceUnusable(source.voice_id, f"{source.path.name}: {told(error)}") from error

    def _weights(self, source: _Source) -> Weights:
        self._verified.check(source.path, source.sha256)
        pinned, dtype, blocks = self._device.is_cuda, source.dtype, self._slots.blocks
        return load_weights(source.path, pin_memory=pinned, blocks=blocks, dtype=dtype, headers=self._headers)

    def _in_a_slot(self, source: _Source, recipe: str) -> object:
        """Read into the memory of a network of the same shape that nobody uses, if there is one."""
        self._verified.check(source.path, source.sha256)
        with source.path.open("rb", buffering=0) as file:
            header = self._headers.of(file)
            key = recipe, *shape_of(header)
            slot = self._slots.take(key)
            if slot is None:
                weights = read_weights(file, blocks=self._slots.blocks, dtype=source.dtype, header=header)
                network = source.build(weights)
                if not has_all_in(network, weights):
                    return network
                return self._slots.lend(Slot(key, network, weights))
            try:
                read_again(file, header, slot.weights)
            except BaseException:
                self._slots.put_back(slot)
                raise
        return self._slots.lend(slot)

    def _in_eight_bits(self, source: _Source) -> TokenModel:
        """Of the rounded weights that were kept; or else of the exact ones, and then they are kept."""
        kept = self._rounded.read(source.sha256, self._slots.blocks)
        if kept is not None:
            return cast("TokenModel", source.build(kept))
        weights = self._weights(source)
        made = cast("TokenModel", source.build(weights))
        self._rounded.keep(source.sha256, weights.config, made.tensors)
        return made

    def _part(self, entry: VoiceEntry, path: Path, sha256: str, build: Callable[[Weights], object]) -> PartPlan:
        itemsize = self._device.dtype.itemsize
        size_bytes = sum(
            prod(spec.shape) * itemsize for spec, _ in header_of(entry, path, self._headers).tensors.values()
        )
        dtype = None if build == self._prompt else self._read_as
        recipe = "decoder" if build == self._decoder else None
        return PartPlan(sha256, size_bytes, _Source(entry.voice_id, path, sha256, build, dtype, recipe))

    def _t2s_part(self, entry: VoiceEntry) -> PartPlan:
        """Weights of which the backend computes as they are stored take what their file takes."""
        file, precision = entry.manifest.files.t2s, self._config.precision_of(entry.voice_id)
        path, backend = entry.path(file), chosen(self._config.t2s_backend, self._placement, precision)
        tensors = header_of(entry, path, self._headers).tensors
        stored = {name: Stored(DTYPES[spec.dtype], spec.shape) for name, (spec, _) in tensors.items()}
        size_bytes = BACKENDS[backend].planned_bytes(stored, self._placement, precision)
        kinds = BACKENDS[backend].read_as(stored, self._placement, precision)
        key = file.sha256 if precision == "exact" else f"{file.sha256}+{precision}"
        build = partial(self._t2s, backend=backend, precision=precision)
        rounded = precision == "int8"
        recipe = None if rounded else f"t2s {backend}"
        source = _Source(entry.voice_id, path, file.sha256, build, lambda name, _: kinds[name], recipe, rounded)
        return PartPlan(key, size_bytes, source)

    def _faster_part(self, entry: VoiceEntry) -> PartPlan:
        """A decoder whose generator computes in bfloat16.

        Raises:
            RequestError: the processor, the precision or the version rules it out.
        """
        version, file = entry.manifest.version, entry.manifest.files.decoder
        if spec_of(version).decoder != "vits":
            raise RequestError(f"voice {entry.voice_id!r} of {version} cannot be one of engine.bf16_voices")
        if self._device.is_cuda or self._device.dtype != torch.float32 or not processor().brain:
            raise RequestError("engine.bf16_voices needs a CPU with instructions for bfloat16, and precision fp32")
        specs = [spec for spec, _ in header_of(entry, entry.path(file), self._headers).tensors.values()]
        size_bytes = sum(prod(spec.shape) * _faster_kind(spec.name).itemsize for spec in specs)
        source = _Source(
            entry.voice_id, entry.path(file), file.sha256, self._faster_decoder, _faster_kind, recipe="faster decoder"
        )
        return PartPlan(f"{file.sha256}+bf16", size_bytes, source)

    def _faster_decoder(self, weights: Weights) -> Decoder:
        return faster_decoder(weights.config, weights.tensors)

    def _t2s(self, weights: Weights, *, backend: str, precision: Precision) -> TokenModel:
        return BACKENDS[backend].load(T2SConfig.from_dict(weights.config), weights.tensors, self._placement, precision)

    def _decoder(self, weights: Weights) -> Decoder:
        device, dtype = self._device.device, self._device.dtype
        return load_decoder(weights.config, weights.tensors, dtype=dtype, device=device, team=self._team)

    def _tensors(self, weights: Weights) -> TensorSet:
        """Of a decoder that is put together of several parts: in the device's precision, so that nothing is copied."""
        device, dtype = self._device.device, self._device.dtype
        return TensorSet(weights.config, {name: tensor.to(device, dtype) for name, tensor in weights.tensors.items()})

    def _joined(self, own: TensorSet, below: Mapping[str, Tensor], vocoder: LoadedPart | None) -> Decoder:
        """A decoder over its base, if it is a LoRA, and its vocoder: whose memory is shared with others on them."""
        network = cast("Vocoder | None", vocoder and vocoder.value)
        device, dtype = self._device.device, self._device.dtype
        return load_decoder(own.config, {**below, **own.tensors}, vocoder=network, dtype=dtype, device=device)

    def _prompt(self, weights: Weights) -> PromptAudio:
        apart = {name: tensor.clone() for name, tensor in weights.tensors.items()}
        return stored_prompt.from_tensors(apart, self._device.device)

    def _moved(self, part: LoadedPart, to: torch.device) -> LoadedPart:
        value = copied_to(part.value, to)
        return LoadedPart(part.key, value, size_of(value))


def _faster_kind(name: str, _stored: torch.dtype | None = None) -> torch.dtype:
    return torch.bfloat16 if in_bfloat16(name) else torch.float32
