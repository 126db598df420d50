"""The voice store: import, validate, list. See docs/ARCHITECTURE.md.

The child process that takes checkpoints apart imports this package with nothing but the standard library, so nothing
is imported here before it is asked for.
"""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from voxswap_store.catalogue import Catalogue
    from voxswap_store.entries import BrokenVoice, Change, VoiceEntry

__all__ = ["BrokenVoice", "Catalogue", "Change", "VoiceEntry"]


def __getattr__(name: str) -> Any:
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from voxswap_store import catalogue, entries  # noqa: PLC0415  # see above

    return getattr(catalogue if name == "Catalogue" else entries, name)
