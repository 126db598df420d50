"""The address of a cached value: everything that the value depends on, as one hash.

Pure Python: knows nothing of tensors, of stores or of what the values are. Two values may share an address only if they
are equal to the bit, so whoever makes a key names every input, and every machine and library that rounds on the way.
"""

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from typing import Final, Self

FORMAT: Final = 1
"""Of keys and entries; raised with every change of ours that makes other values of the same inputs between releases."""
_LIBRARIES: Final = (
    "voxswap",
    "av",
    "numpy",
    "safetensors",
    "soundfile",
    "soxr",
    "torch",
    "torchaudio",
    "transformers",
)
"""What decodes, resamples and computes: another version of one of them may round otherwise."""

Fact = str | int | float | bool | None | Sequence["Fact"] | Mapping[str, "Fact"]


@dataclass(frozen=True, slots=True)
class Key:
    """Address of one value."""

    kind: str
    """What it is: tokens, spectrum, ...; [a-z_]+."""
    digest: str
    """sha256, 64 hexadecimal digits."""
    tensors: tuple[str, ...]
    """Names of the tensors that the value has, sorted."""

    @classmethod
    def of(cls, kind: str, /, *, tensors: Sequence[str] = (), **facts: Fact) -> Self:
        """The key of a value that depends on these facts, in no order but that within their sequences.

        Args:
            kind: of the value.
            tensors: names that it has; () stands for one of the name of the kind.
            facts: everything that it depends on.
        """
        names = tuple(sorted(tensors or (kind,)))
        stated = {"format": FORMAT, "kind": kind, "tensors": names, "facts": facts}
        text = json.dumps(stated, sort_keys=True, allow_nan=False)
        return cls(kind, hashlib.sha256(text.encode()).hexdigest(), names)

    @property
    def name(self) -> str:
        """Unique among all keys; fit for the name of a file."""
        return f"{self.kind}-{self.digest}"


def software() -> dict[str, Fact]:
    """Versions of everything that makes values, by name."""
    return {name: _version(name) for name in _LIBRARIES}


def _version(package: str) -> str:
    try:
        return version(package)
    except PackageNotFoundError:  # run from a folder that was never installed
        return ""
