"""g2pW, which tells the readings of Chinese characters: its folder as it is published, found and copied into the store.

Knows nothing of what its files say. It is no network of tensors, so it has no row among the assets that are converted.
"""

import shutil
from pathlib import Path
from typing import Final

from voxswap_store.files import Staging, exclusive, remove_directory

TITLE: Final = "g2pW"
NEEDED_FOR: Final = "readings of Chinese characters in their sentences"
USUAL_PLACE: Final = "text/G2PWModel/"
MODELS: Final = ("g2pW.onnx", "g2pw.onnx")
_TABLES: Final = ("POLYPHONIC_CHARS.txt", "MONOPHONIC_CHARS.txt", "bopomofo_to_pinyin_wo_tune_dict.json")
_DEPTH: Final = 3


def folder_of(root: Path) -> Path:
    """Where it lies in a store, if it is there."""
    return root / "assets" / "g2pw"


def installed_bytes(root: Path) -> int | None:
    """How large it is; None where it is not installed."""
    return sum(path.stat().st_size for path in folder_of(root).iterdir()) if is_g2pw(folder_of(root)) else None


def is_g2pw(folder: Path) -> bool:
    """Whether a folder holds the model and its tables."""
    has_model = any((folder / name).is_file() for name in MODELS)
    return has_model and all((folder / name).is_file() for name in _TABLES)


def find_g2pw(directory: Path) -> Path | None:
    """The folder itself or one below it, such as `G2PWModel` in GPT-SoVITS's `text`; the one nearest to the top."""
    level = [directory]
    for _ in range(_DEPTH):
        for folder in level:
            if is_g2pw(folder):
                return folder
        level = sorted(child for folder in level for child in folder.iterdir() if child.is_dir())
    return None


def install_g2pw(folder: Path, root: Path) -> None:
    """Copies what is read of it; what is there already is put in its place anew."""
    target = folder_of(root)
    with Staging(root) as staging:
        for name in (*MODELS, *_TABLES):
            if (folder / name).is_file():
                shutil.copyfile(folder / name, staging.path / name)
        with exclusive(root):
            if target.exists():
                remove_directory(root, target)
            staging.publish(target)
