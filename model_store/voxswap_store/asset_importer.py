"""Finds the shared networks in a folder of GPT-SoVITS, or one of SpeechBrain, and converts them.

Knows nothing of the networks' code. A network is recognised by what its files say of themselves, not by the name of
its folder; pickles go through the same walled-off child as any checkpoint.
"""

import json
import os
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final

from torch import Tensor

from voxswap_server.errors import RequestError
from voxswap_store.assets import (
    ASSETS,
    MANIFEST,
    WEIGHTS,
    AssetManifest,
    AssetSpec,
    AssetState,
    asset_spec,
    asset_state,
    format_asset,
)
from voxswap_store.checkpoint import read_checkpoint
from voxswap_store.converted import Converted
from voxswap_store.errors import BadTensor, CheckpointError
from voxswap_store.files import Staging, exclusive, hash_file, remove_directory
from voxswap_store.g2pw import TABLES, is_archive, model_in, store_g2pw
from voxswap_store.hyperparams import Described, read_objects
from voxswap_store.layout_ap_bwe import convert_ap_bwe, is_ap_bwe
from voxswap_store.layout_assets import convert_bigvgan, convert_eres2net, convert_vocoder_v4
from voxswap_store.layout_ecapa import convert_ecapa, is_ecapa
from voxswap_store.layout_sovits import convert_sovits
from voxswap_store.manifest import StoredFile
from voxswap_store.progress import StepProgress, of_step, silent
from voxswap_store.safetensors_header import BadHeader
from voxswap_store.weights import load_weights, non_finite, write_weights

_DEPTH: Final = 6
_TEXT_BYTES: Final = 16 << 20
_TOKENIZER: Final = (
    "vocab.txt",
    "tokenizer.json",
    "tokenizer_config.json",
    "special_tokens_map.json",
    "added_tokens.json",
)

CONFIG: Final = "config.json"
HYPERPARAMETERS: Final = "hyperparams.yaml"
EMBEDDING_MODEL: Final = "embedding_model.ckpt"
"""What SpeechBrain's speaker encoders are made of."""
AP_BWE: Final = ("g_24kto48k.zip", "g_24kto48k", "g_24kto48k.ckpt", "g_24kto48k.safetensors")
"""What the generator of AP-BWE is called: by GPT-SoVITS, by its authors, by others who pass it on."""


@dataclass(frozen=True, slots=True)
class FoundAsset:
    """A shared network in a folder."""

    spec: AssetSpec
    weights: Path
    texts: tuple[Path, ...]
    """Files that are copied as they are."""
    config: Mapping[str, Any]


def find_assets(directory: Path, only: tuple[str, ...] = ()) -> dict[str, FoundAsset]:
    """What a folder holds, by name of the asset; of two that fit, the one nearer to the top.

    Args:
        directory: to look through.
        only: names that are wanted; () is all but those whose files cannot be told from another's.

    Raises:
        RequestError: it is no folder.
    """
    if not directory.is_dir():
        raise RequestError("there is no such folder to import assets from", field="directory")
    found: dict[str, FoundAsset] = {}
    for folder, names in _folders(directory):
        for asset in _in_folder(folder, names):
            found.setdefault(asset.spec.name, asset)
    for name in only:
        if name not in found and (other := found.get(_ALIKE.get(name, ""))):
            found[name] = replace(other, spec=ASSETS[name])
    return {name: found[name] for name in ASSETS if name in found and (not only or name in only)}


def import_assets(
    directory: Path, root: Path, *, only: tuple[str, ...] = (), progress: StepProgress = silent
) -> list[AssetState]:
    """Converts what a folder holds and installs it; an asset that is there already is put in its place anew.

    Args:
        directory: such as GPT-SoVITS's `pretrained_models`.
        root: of the store.
        only: names of assets; () is all that is found.
        progress: told how far it is.

    Returns:
        What was installed.

    Raises:
        RequestError: nothing was found, or a name is unknown or was not found.
        CheckpointError: a file is damaged or forbidden.
    """
    wanted = [asset_spec(name).name for name in only]
    found = find_assets(directory, tuple(wanted))
    lacking = [name for name in wanted if name not in found]
    if lacking or not found:
        looked = ", ".join(ASSETS[name].usual_place for name in (lacking or ASSETS))
        raise RequestError(f"the folder does not hold {', '.join(lacking) or 'any asset'}; looked for {looked}")
    return [_install(found[name], root, progress) for name in (wanted or found)]


def _install(asset: FoundAsset, root: Path, progress: StepProgress) -> AssetState:
    name = asset.spec.name
    with Staging(root) as staging:
        as_it_is = _AS_THEY_ARE.get(name)
        stored = as_it_is(asset.weights, staging) if as_it_is else _converted(asset, staging, progress)
        source_sha256, _ = hash_file(asset.weights)
        manifest = AssetManifest(format=1, name=name, source_sha256=source_sha256, files=tuple(stored))
        (staging.path / MANIFEST).write_text(format_asset(manifest), encoding="utf-8")
        target = root / "assets" / name
        with exclusive(root):
            if target.exists():
                remove_directory(root, target)
            staging.publish(target)
    return asset_state(root, name)


def _converted(asset: FoundAsset, staging: Staging, progress: StepProgress) -> list[StoredFile]:
    name = asset.spec.name
    tensors = _read(asset, staging.path, progress)
    converted = _CONVERTERS.get(name, Converted)(tensors, dict(asset.config))
    stored = [staging.write(WEIGHTS, lambda sink: write_weights(sink, converted, {"format": "pt"}))]
    translated = name in _CONVERTERS
    copied = [text for text in asset.texts if not (translated and text.name == CONFIG)]
    stored += [staging.write(text.name, _copy(text)) for text in copied]
    if translated:
        # Ours, in place of upstream's: it goes with the translated tensors.
        told = json.dumps(converted.config, indent=1, sort_keys=True).encode()
        stored.append(staging.write(CONFIG, lambda sink: sink.write(told) and None))
    return stored


def _read(asset: FoundAsset, scratch: Path, progress: StepProgress) -> dict[str, Tensor]:
    try:
        if asset.weights.suffix == ".safetensors":
            tensors = load_weights(asset.weights).tensors
            for name in non_finite(tensors):
                raise BadTensor(name, "holds values that are no numbers (NaN or infinity)")
            return tensors
        return read_checkpoint(asset.weights, scratch=scratch, progress=of_step(progress, asset.spec.title)).weight
    except BadHeader as error:
        raise CheckpointError(f"{asset.spec.title}: {error}") from None
    except CheckpointError as error:
        error.add_note(f"in {asset.weights.name}")
        raise


def _copy(text: Path) -> Callable[[Any], object]:
    if text.stat().st_size > _TEXT_BYTES:
        raise CheckpointError(f"{text.name} has more than {_TEXT_BYTES} bytes")
    return lambda sink: sink.write(text.read_bytes())


def _folders(directory: Path) -> Iterator[tuple[Path, set[str]]]:
    """Folders from the top down, level by level in order of their names."""
    level = [directory]
    for _ in range(_DEPTH):
        below: list[Path] = []
        for folder in level:
            with os.scandir(folder) as entries:
                listed = sorted(entries, key=lambda entry: entry.name)
            yield folder, {entry.name for entry in listed if entry.is_file()}
            below += [Path(entry.path) for entry in listed if entry.is_dir(follow_symlinks=False)]
        level = below


def _in_folder(folder: Path, names: set[str]) -> Iterator[FoundAsset]:
    config = _config(folder / "config.json") if "config.json" in names else {}
    kind = (config.get("model_type"), config.get("hidden_size"))
    weights = next((folder / name for name in (WEIGHTS, "pytorch_model.bin") if name in names), None)
    for name, signature in _HUGGING_FACE.items():
        if weights and kind == signature:
            texts = ("config.json", "preprocessor_config.json", *_TOKENIZER)
            yield FoundAsset(ASSETS[name], weights, tuple(folder / text for text in texts if text in names), {})
    if "bigvgan_generator.pt" in names and "num_mels" in config:
        yield FoundAsset(ASSETS["bigvgan"], folder / "bigvgan_generator.pt", (), config)
    if is_ap_bwe(config) and (generator := next((name for name in AP_BWE if name in names), None)):
        yield FoundAsset(ASSETS["ap_bwe"], folder / generator, (), config)
    if {HYPERPARAMETERS, EMBEDDING_MODEL} <= names and is_ecapa(objects := _objects(folder)):
        yield FoundAsset(ASSETS["ecapa"], folder / EMBEDDING_MODEL, (), objects)
    if model := model_in(names):
        yield FoundAsset(ASSETS["g2pw"], folder / model, tuple(folder / table for table in TABLES), {})
    for file in sorted(names):
        for name, fits in _SINGLE_FILES.items():
            if fits(file):
                yield FoundAsset(ASSETS[name], folder / file, (), {})


def _config(path: Path) -> dict[str, Any]:
    if path.stat().st_size > _TEXT_BYTES:
        return {}
    try:
        config = json.loads(path.read_bytes())
    except ValueError:  # somebody else's config.json: then the folder is none of ours
        return {}
    return config if isinstance(config, dict) else {}


def _objects(folder: Path) -> dict[str, Described]:
    with (folder / HYPERPARAMETERS).open("rb") as file:
        text = file.read(_TEXT_BYTES)
    try:
        return read_objects(text)
    except ValueError:  # somebody else's settings, or broken ones: they tell of no network of ours
        return {}


_HUGGING_FACE: Final = {
    "hubert": ("hubert", 768),
    "hubert_small": ("hubert", 256),
    "bert": ("bert", 1024),
}
"""What `config.json` says of itself: model type and width."""
_ALIKE: Final[Mapping[str, str]] = {"ecapa_small": "ecapa"}
"""Networks whose files say the same of themselves as another's: only who asks for them by name gets them."""
_SINGLE_FILES: Final[Mapping[str, Callable[[str], bool]]] = {
    "eres2net": lambda name: "eres2netv2" in name.lower() and name.endswith((".ckpt", ".pth", ".pt")),
    "sovits_v3": lambda name: name.startswith("s2Gv3") and name.endswith(".pth"),
    "sovits_v4": lambda name: name.startswith("s2Gv4") and name.endswith(".pth"),
    "vocoder_v4": lambda name: name == "vocoder.pth",
    "g2pw": is_archive,
}
_CONVERTERS: Final[Mapping[str, Callable[[Mapping[str, Tensor], dict[str, Any]], Converted]]] = {
    "eres2net": lambda tensors, _: convert_eres2net(tensors),
    "bigvgan": convert_bigvgan,
    "ap_bwe": convert_ap_bwe,
    "vocoder_v4": lambda tensors, _: convert_vocoder_v4(tensors),
    "ecapa": convert_ecapa,
    "ecapa_small": convert_ecapa,
    "sovits_v3": lambda tensors, _: convert_sovits(tensors, {"model": {}}, "v3"),
    "sovits_v4": lambda tensors, _: convert_sovits(tensors, {"model": {}}, "v4"),
}
"""The others keep their names: transformers reads them."""
_AS_THEY_ARE: Final[Mapping[str, Callable[[Path, Staging], list[StoredFile]]]] = {"g2pw": store_g2pw}
"""Those that are no networks of tensors."""
