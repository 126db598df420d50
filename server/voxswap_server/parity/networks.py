"""Golden checkpoints become networks by the product's own way: rebuilt, imported into a store, loaded from it.

Knows nothing of cases beyond the names of their files. Everything is made at first use and kept.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import torch

from voxswap_server.nn.bert import TextEncoder
from voxswap_server.nn.decoder import Decoder
from voxswap_server.nn.decoders import load_decoder
from voxswap_server.nn.eres2net import SpeakerVectorNet
from voxswap_server.nn.hubert import ContentEncoder
from voxswap_server.nn.native.team import Team
from voxswap_server.nn.specs import VersionSpec, spec_of
from voxswap_server.nn.t2s import T2SConfig
from voxswap_server.nn.t2s_backends import BackendName, Placement, TokenModel, load_t2s
from voxswap_server.nn.vocoder import Vocoder
from voxswap_server.nn.vocoders import load_vocoder
from voxswap_server.parity.cases import ModelFiles
from voxswap_server.parity.errors import BadGoldens
from voxswap_server.parity.golden_weights import Manifest
from voxswap_server.parity.materialize import materialize
from voxswap_store.asset_importer import import_assets
from voxswap_store.assets import asset_directory, base_file
from voxswap_store.entries import VoiceEntry
from voxswap_store.errors import VersionUnclear
from voxswap_store.importer import ImportRequest, import_voice
from voxswap_store.weights import load_weights

_SUFFIX = ".manifest.json"
_SHARED: Mapping[str, Callable[[str], bool]] = {
    "hubert": lambda name: name == "hubert",
    "bert": lambda name: name == "bert",
    "eres2net": lambda name: "eres2net" in name,
    "bigvgan": lambda name: "bigvgan" in name,
    "vocoder_v4": lambda name: name == "vocoder.pth",
}
"""Asset to how the file (or folder) of its manifest is called."""


@dataclass(frozen=True)
class GoldenVoice:
    """An imported pair of golden checkpoints."""

    entry: VoiceEntry
    vocoder_of: Callable[[str], Vocoder]
    """Loads the vocoder of this name."""
    t2s_backend: BackendName
    placement: Placement

    @property
    def spec(self) -> VersionSpec:
        """Of the version that the importer found."""
        return spec_of(self.entry.manifest.version)

    @cached_property
    def t2s(self) -> TokenModel:
        weights = load_weights(self.entry.directory / self.entry.manifest.files.t2s.name)
        config = T2SConfig.from_dict(weights.config)
        return load_t2s(config, weights.tensors, self.placement, backend=self.t2s_backend)

    @cached_property
    def decoder(self) -> Decoder:
        weights = load_weights(self.entry.directory / self.entry.manifest.files.decoder.name)
        below = {} if self.entry.manifest.base_sha256 is None else load_weights(self._base).tensors
        vocoder = self.vocoder_of(self.spec.vocoder) if self.spec.vocoder else None
        tensors, team = {**below, **weights.tensors}, self.placement.team
        return load_decoder(weights.config, tensors, vocoder=vocoder, team=team)

    @property
    def _base(self) -> Path:
        """The base that a LoRA lies on, in the store that the voice lies in."""
        return base_file(self.entry.directory.parent.parent, self.entry.manifest.version)


class Networks:
    """Everything that a directory of goldens describes.

    Args:
        root: of the goldens.
        work: directory for rebuilt and imported files; what is there already is used again.
        t2s_backend: computes the semantic tokens.
    """

    def __init__(self, root: Path, work: Path, t2s_backend: BackendName = "auto") -> None:
        self._t2s_backend = t2s_backend
        self._placement = Placement(torch.device("cpu"), torch.float32, Team(torch.get_num_threads()))
        self._root = root
        self._work = work
        self._voices: dict[tuple[str, ModelFiles], GoldenVoice] = {}
        self._vocoders: dict[str, Vocoder] = {}

    def voice(self, version: str, files: ModelFiles) -> GoldenVoice:
        """The voice of one pair of checkpoints.

        Raises:
            BadGoldens: a manifest is missing or does not fit its sha256.
            CheckpointError: the importer refuses a file.
        """
        key = (version, files)
        if key not in self._voices:
            self._voices[key] = GoldenVoice(
                self._import(version, files), self.vocoder, self._t2s_backend, self._placement
            )
        return self._voices[key]

    @cached_property
    def content_encoder(self) -> ContentEncoder:
        return ContentEncoder.from_directory(self._asset("hubert"))

    @cached_property
    def text_encoder(self) -> TextEncoder:
        return TextEncoder.from_directory(self._asset("bert"))

    @cached_property
    def speaker_vector_net(self) -> SpeakerVectorNet:
        return SpeakerVectorNet.from_directory(self._asset("eres2net"))

    def vocoder(self, name: str) -> Vocoder:
        """The vocoder that a version names."""
        if name not in self._vocoders:
            self._vocoders[name] = load_vocoder(name, self._asset(name), team=self._placement.team)
        return self._vocoders[name]

    def _import(self, version: str, files: ModelFiles) -> VoiceEntry:
        t2s = self._rebuild(self._root / version / files.s1)
        sovits = self._rebuild(self._root / version / files.s2)
        store = self._work / "store"
        if files.base:
            store = self._store_with_base(version, files.base)
        store.mkdir(parents=True, exist_ok=True)
        voice_id = f"{version}-{t2s.stem}-{sovits.stem}".lower()
        request = ImportRequest(voice_id, t2s, sovits, replace=True)
        try:
            return import_voice(request, store)
        except VersionUnclear:  # a full v4 checkpoint looks like a v3 one; the user says which it is
            return import_voice(ImportRequest(voice_id, t2s, sovits, version=version, replace=True), store)

    def _store_with_base(self, version: str, base: str) -> Path:
        """A store whose base model of this version is the one that the case names."""
        store = self._work / f"store-{version}-{Path(base).stem}"
        folder = self._work / f"base-{version}-{Path(base).stem}"
        if not (store / "assets").exists():
            folder.mkdir(parents=True, exist_ok=True)
            (folder / f"s2G{version}.pth").hardlink_to(self._rebuild(self._root / version / base))
            store.mkdir(parents=True, exist_ok=True)
            import_assets(folder, store, only=(f"sovits_{version}",))
        return store

    def _asset(self, name: str) -> Path:
        """Directory of one shared network, imported from its manifest."""
        store = self._work / "store"
        if not (store / "assets" / name).exists():
            store.mkdir(parents=True, exist_ok=True)
            import_assets(self._shared(name), store, only=(name,))
        return asset_directory(store, name)

    def _shared(self, name: str) -> Path:
        for path in sorted((self._root / "shared").glob(f"*{_SUFFIX}")):
            manifest = _read(path)
            if _SHARED[name](Path(manifest.file).name.lower()):
                target = materialize(manifest, self._work / "rebuilt" / name)
                return target if target.is_dir() else target.parent
        raise BadGoldens(f"the goldens have no manifest of the shared network {name!r}")

    def _rebuild(self, path: Path) -> Path:
        """The checkpoint of the manifest beside `path`."""
        manifest = path.with_name(path.name + _SUFFIX)
        return materialize(_read(manifest), self._work / "rebuilt" / path.parent.name)


def _read(path: Path) -> Manifest:
    try:
        return Manifest.model_validate_json(path.read_bytes())
    except (OSError, ValueError) as error:
        raise BadGoldens(f"{path.name} cannot be read: {str(error).splitlines()[0]}") from error
