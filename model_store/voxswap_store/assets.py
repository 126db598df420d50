"""The networks that all voices share: which there are, and where they lie once they are imported.

Knows nothing of torch or of how they are converted. A network that is not installed is a typed error that says what it
is for and how to get it.
"""

import hashlib
import json
import tomllib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Annotated, Final, Literal

import tomli_w
from pydantic import Field, ValidationError

from voxswap_server.errors import AssetMissing, RequestError
from voxswap_store.files import hash_file
from voxswap_store.manifest import Sha256, StoredFile, Strict

MANIFEST: Final = "asset.toml"
WEIGHTS: Final = "model.safetensors"


@dataclass(frozen=True, slots=True)
class AssetSpec:
    """One row of the table."""

    name: str
    """Folder below `assets/`."""
    title: str
    needed_for: str
    usual_place: str
    """Where GPT-SoVITS keeps it, below `pretrained_models`; or what it is called where it is published."""
    by_hand: str = "a pretrained_models folder"
    """What it can be imported from where there is no network."""
    built_in: bool = False
    """Comes with the built-in voices; it is published nowhere else."""

    @property
    def remedy(self) -> str:
        """How to get it."""
        if self.built_in:
            return "it comes with the built-in voices: start the server once with `voices.built_in = true`"
        fetch, without = f"run `voxswap assets fetch {self.name}`", f"`voxswap assets import DIR` on {self.by_hand}"
        return f"{fetch}, or without a network {without}"


_ROWS: Final = (
    AssetSpec("hubert", "CN-HuBERT base", "encoding reference audio, every version", "chinese-hubert-base/"),
    AssetSpec("bert", "Chinese RoBERTa large", "the prosody of Chinese text", "chinese-roberta-wwm-ext-large/"),
    AssetSpec("eres2net", "ERes2NetV2", "v2Pro and v2ProPlus voices", "sv/pretrained_eres2netv2w24s4ep4.ckpt"),
    AssetSpec("sovits_v3", "v3 base model", "v3 LoRA voices", "s2Gv3.pth"),
    AssetSpec("sovits_v4", "v4 base model", "v4 LoRA voices", "gsv-v4-pretrained/s2Gv4.pth"),
    AssetSpec(
        "bigvgan", "BigVGAN v2 24 kHz", "speaking with v3 voices", "models--nvidia--bigvgan_v2_24khz_100band_256x/"
    ),
    AssetSpec("vocoder_v4", "v4 vocoder", "speaking with v4 voices", "gsv-v4-pretrained/vocoder.pth"),
    AssetSpec(
        "ap_bwe",
        "AP-BWE 24 to 48 kHz",
        "super sampling of v3 voices",
        "24kto48k/",
        "GPT-SoVITS's tools/AP_BWE_main/24kto48k, a folder that holds g_24kto48k.zip and config.json",
    ),
    AssetSpec(
        "ecapa",
        "ECAPA-TDNN",
        "telling who is heard (speaker embeddings)",
        "spkrec-ecapa-voxceleb/",
        "a folder that holds SpeechBrain's hyperparams.yaml and embedding_model.ckpt",
    ),
    AssetSpec(
        "g2pw",
        "g2pW",
        "readings of Chinese characters in their sentences",
        "text/G2PWModel/",
        "GPT-SoVITS's text folder, or a folder that holds G2PWModel.zip",
    ),
    AssetSpec(
        "hubert_small", "small content encoder", "encoding reference audio, built-in voices", "content/", built_in=True
    ),
    AssetSpec("ecapa_small", "small ECAPA-TDNN", "telling who is heard, out of the box", "ecapa/", built_in=True),
)
ASSETS: Final[Mapping[str, AssetSpec]] = MappingProxyType({row.name: row for row in _ROWS})
"""Every shared network, by its name."""
CONTENT_ENCODERS: Final[Mapping[int, str]] = MappingProxyType({768: "hubert", 256: "hubert_small"})
"""By the width of their features. The decoder of a voice was trained on one of them, and its width tells which."""


class AssetManifest(Strict):
    """`asset.toml`: what lies in the folder of an asset."""

    format: Literal[1]
    name: str
    source_sha256: Sha256
    """Of the file that it came from: the weights, or the archive that they were packed in."""
    files: Annotated[tuple[StoredFile, ...], Field(min_length=1)]

    @property
    def address(self) -> str:
        """Content address of all of it, settings included."""
        return content_address(self.files)


@dataclass(frozen=True, slots=True)
class AssetState:
    """What the store knows of one row."""

    spec: AssetSpec
    manifest: AssetManifest | None
    """None where it is not installed, or broken."""
    problem: str = ""

    @property
    def bytes_total(self) -> int:
        return sum(file.bytes for file in self.manifest.files) if self.manifest else 0


def content_address(files: Iterable[StoredFile]) -> str:
    """Of all that these files hold, in their order."""
    return hashlib.sha256("/".join(file.sha256 for file in files).encode()).hexdigest()


def asset_spec(name: str) -> AssetSpec:
    """The row of this name.

    Raises:
        RequestError: there is none; the message lists those that there are.
    """
    try:
        return ASSETS[name]
    except KeyError:
        raise RequestError(f"unknown asset {name!r}; choose from {', '.join(ASSETS)}", field="asset") from None


def content_encoder(width: int) -> str:
    """Name of the content encoder whose features have this width.

    Raises:
        RequestError: there is none.
    """
    try:
        return CONTENT_ENCODERS[width]
    except KeyError:
        known = ", ".join(map(str, sorted(CONTENT_ENCODERS)))
        raise RequestError(
            f"the voice reads content features of width {width}; there are encoders for {known}",
            field="sovits_checkpoint",
        ) from None


def asset_directory(root: Path, name: str) -> Path:
    """Where an installed asset lies.

    Raises:
        AssetMissing: it is not installed, or broken; the message says what to do.
    """
    asset_manifest(root, name)
    return root / "assets" / name


def asset_manifest(root: Path, name: str) -> AssetManifest:
    """What an installed asset is made of.

    Raises:
        AssetMissing: as `asset_directory`.
    """
    state = asset_state(root, name)
    if state.manifest is None:
        remedy = f"it is needed for {state.spec.needed_for}: {state.spec.remedy}"
        raise AssetMissing(state.spec.title, f"{state.problem}; {remedy}" if state.problem else remedy)
    return state.manifest


def base_file(root: Path, version: str) -> Path:
    """The weights that LoRA voices of this version lie on.

    Raises:
        AssetMissing: they are not installed.
    """
    return asset_directory(root, f"sovits_{version}") / WEIGHTS


def asset_state(root: Path, name: str) -> AssetState:
    """Looks at one asset: its manifest, and the sizes of its files."""
    spec = asset_spec(name)
    directory = root / "assets" / name
    try:
        text = (directory / MANIFEST).read_text(encoding="utf-8")
    except FileNotFoundError:
        return AssetState(spec, None)
    try:
        manifest = _parse(text)
    except (tomllib.TOMLDecodeError, ValidationError) as error:
        return AssetState(spec, None, f"its asset.toml cannot be read ({type(error).__name__})")
    for file in manifest.files:
        path = directory / file.name
        if not path.is_file() or path.stat().st_size != file.bytes:
            return AssetState(spec, None, f"its {file.name} is missing or cut short")
    return AssetState(spec, manifest)


def asset_states(root: Path) -> tuple[AssetState, ...]:
    """Every row of the table."""
    return tuple(asset_state(root, name) for name in ASSETS)


def verify_asset(root: Path, name: str) -> None:
    """Compares every byte with the manifest.

    Raises:
        AssetMissing: it is not installed, or damaged.
    """
    directory, manifest = asset_directory(root, name), asset_state(root, name).manifest
    for file in manifest.files if manifest else ():
        if hash_file(directory / file.name)[0] != file.sha256:
            raise AssetMissing(ASSETS[name].title, f"its {file.name} is damaged; {ASSETS[name].remedy}")


def format_asset(manifest: AssetManifest) -> str:
    """The text of an `asset.toml`."""
    return tomli_w.dumps(manifest.model_dump(mode="json"))


def _parse(text: str) -> AssetManifest:
    return AssetManifest.model_validate_json(json.dumps(tomllib.loads(text), default=str))
