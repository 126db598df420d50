"""Where the front-end finds g2pW: in the store, beside the BERT whose pieces it reads.

It may be installed, replaced or taken away while the server runs. Knows nothing of what is in it.
"""

from collections.abc import Mapping
from pathlib import Path
from threading import Lock
from typing import Any, Final

from voxswap_server.engine.networks import unusable
from voxswap_server.engine.residency.policy import bare_copy
from voxswap_server.errors import AssetMissing
from voxswap_store.assets import MANIFEST, asset_directory, asset_state

_READ: Final = ("g2pw", "bert")


def frontend_options(root: Path) -> Mapping[str, Mapping[str, Any]]:
    """What `TextFrontend` is made with over a store: Mandarin is read with its g2pW."""
    return {"zh": {"polyphones": StoredPolyphones(root)}}


class StoredPolyphones:
    """g2pW as the store has it now. Any thread may call it; it is loaded at the first call after it changed, once.

    Args:
        root: of the store.
    """

    def __init__(self, root: Path) -> None:
        self._root = root
        self._lock = Lock()
        self._seen: tuple[object, ...] | None = None
        self._found: Any = None

    def __call__(self) -> Any:
        """What tells readings; None where it is not installed.

        Raises:
            AssetMissing: it is installed, but it or the tokenizer of BERT cannot be used.
        """
        with self._lock:
            seen = tuple(_stamp(self._root / "assets" / name / MANIFEST) for name in _READ)
            if seen != self._seen:
                self._found, self._seen = self._look(), seen
            if isinstance(self._found, AssetMissing):
                raise bare_copy(self._found)
            return self._found

    def _look(self) -> Any:
        state = asset_state(self._root, "g2pw")
        if state.manifest is None and not state.problem:
            return None
        from voxswap_server.text.chinese.g2pw import Polyphones  # noqa: PLC0415 - onnxruntime, for those who have the model

        try:
            return Polyphones(*(asset_directory(self._root, name) for name in _READ))
        except AssetMissing as missing:
            return missing
        except (OSError, ValueError, KeyError) as error:
            return unusable("g2pw", error)


def _stamp(manifest: Path) -> object:
    """Another one after every installation: a folder is put in its place whole, with a manifest of its own."""
    try:
        told = manifest.stat()
    except OSError:
        return None
    return told.st_ino, told.st_mtime_ns
