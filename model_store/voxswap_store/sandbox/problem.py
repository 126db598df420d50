"""How the child says what is wrong.

Knows nothing of the server's errors: `kind` is the name of a class of `voxswap_store.errors`, which only the parent
imports.
"""

from typing import Literal

Kind = Literal["NotACheckpoint", "TruncatedCheckpoint", "ForbiddenContent", "OverLimit", "BadTensor"]


class Problem(Exception):
    """The file cannot be read; the parent turns this into a typed error."""

    def __init__(self, kind: Kind, message: str, tensor: str = "") -> None:
        super().__init__(message)
        self.kind: Kind = kind
        self.message = message
        self.tensor = tensor


def shorten(text: str, limit: int = 80) -> str:
    """The text as it may stand in a message: printable, and not longer than `limit` characters."""
    shown = text if len(text) <= limit else text[: limit - 1] + "…"
    return "".join(c if c.isprintable() else "\N{REPLACEMENT CHARACTER}" for c in shown)
