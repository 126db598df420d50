"""Where the front-end finds g2pW: in the store, as it is published, beside the BERT whose pieces it reads.

Knows nothing of what is in it.
"""

from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import Any

from voxswap_server.errors import AssetMissing
from voxswap_store.g2pw import folder_of, is_g2pw


def frontend_options(root: Path) -> Mapping[str, Mapping[str, Any]]:
    """What `TextFrontend` is made with: g2pW for Mandarin where the store has its folder."""
    if not is_g2pw(folder_of(root)):
        return {}
    return {"zh": {"polyphones": partial(_load, root)}}


def _load(root: Path) -> Any:
    """Raises `AssetMissing` where it, or the tokenizer of BERT, cannot be used."""
    from voxswap_server.text.chinese.g2pw import Polyphones  # noqa: PLC0415 - onnxruntime, for those who have the model

    try:
        return Polyphones(folder_of(root), root / "assets" / "bert")
    except (OSError, ValueError, KeyError) as error:
        problem = error.strerror if isinstance(error, OSError) else error  # never a path
        raise AssetMissing(
            "g2pW", f"what is installed cannot be used ({problem}); it reads the tokenizer of `bert` as well"
        ) from error
