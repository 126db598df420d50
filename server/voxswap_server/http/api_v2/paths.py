"""Old paths, as keys of a table and nothing else: they are compared, never opened."""

from collections.abc import Mapping
from typing import TypeVar

Target = TypeVar("Target")

SHOWN = 8


def plain(path: str) -> str:
    r"""One spelling for `GPT_weights\\a.ckpt`, `./GPT_weights/a.ckpt` and the like."""
    return "/".join(part for part in path.replace("\\", "/").split("/") if part not in {"", "."})


def find(table: Mapping[str, Target], path: str) -> Target | None:
    """The target of the longest entry that the path ends with; whole components only."""
    asked = plain(path).split("/")
    entries = sorted(
        ((plain(entry).split("/"), target) for entry, target in table.items()), key=lambda one: -len(one[0])
    )
    return next((target for parts, target in entries if asked[-len(parts) :] == parts), None)


def listed(names: "Mapping[str, object] | list[str]") -> str:
    """Some of them, and how many more there are."""
    ordered = sorted(names)
    more = f" and {len(ordered) - SHOWN} more" if len(ordered) > SHOWN else ""
    return (", ".join(ordered[:SHOWN]) or "none") + more
