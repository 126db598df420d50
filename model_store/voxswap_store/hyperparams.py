"""SpeechBrain's `hyperparams.yaml`, read without believing it.

The file is HyperPyYAML: a program that makes objects (`!new:`), calls functions (`!apply:`) and includes other files.
Here only the graph of its nodes is read (PyYAML's composer, which constructs nothing), and of that only plain values.
Knows no network.
"""

import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Final

import yaml

Value = int | float | bool | str | None

_NEW: Final = "!new:"
_PLAIN: Final = "tag:yaml.org,2002:"
_MAX_BYTES: Final = 256 << 10
_TRUTH: Final = {"true": True, "yes": True, "on": True, "false": False, "no": False, "off": False}
_INTEGER: Final = re.compile(r"[-+]?(0|[1-9][0-9]{0,14})")
_REFERENCE: Final = re.compile(r"<([A-Za-z_][A-Za-z0-9_]*)>")


@dataclass(frozen=True, slots=True)
class NotPlain:
    """Something that is no plain value: an object, a call, a formula, a table."""

    tag: str


Setting = Value | NotPlain | tuple[Value | NotPlain, ...]


@dataclass(frozen=True, slots=True)
class Described:
    """An object that the file would make."""

    cls: str
    """Dotted name of its class."""
    arguments: Mapping[str, Setting]


def read_objects(data: bytes) -> dict[str, Described]:
    """The objects that a file would make at its top level, by their names there.

    Of references only `!ref <name>` to a plain value at the top level is followed.

    Raises:
        ValueError: it is too large, or no YAML.
    """
    if len(data) > _MAX_BYTES:
        raise ValueError(f"it has {len(data)} bytes; at most {_MAX_BYTES} are read")
    try:
        root = yaml.compose(data, Loader=yaml.SafeLoader)
    except (yaml.YAMLError, RecursionError, ValueError, OverflowError) as error:
        raise ValueError(f"it is no YAML that can be read ({type(error).__name__})") from None
    named = dict(_entries(root))
    return {
        name: Described(node.tag.removeprefix(_NEW), {key: _setting(value, named) for key, value in _entries(node)})
        for name, node in named.items()
        if node.tag.startswith(_NEW)
    }


def _entries(node: yaml.Node | None) -> Iterator[tuple[str, yaml.Node]]:
    if isinstance(node, yaml.MappingNode):
        for key, value in node.value:
            if isinstance(key, yaml.ScalarNode):
                yield key.value, value


def _setting(node: yaml.Node, named: Mapping[str, yaml.Node]) -> Setting:
    node = _referred(node, named)
    if isinstance(node, yaml.SequenceNode) and node.tag.startswith(_PLAIN):
        return tuple(_value(_referred(item, named)) for item in node.value)
    return _value(node)


def _referred(node: yaml.Node, named: Mapping[str, yaml.Node]) -> yaml.Node:
    if node.tag == "!ref" and isinstance(node, yaml.ScalarNode) and (name := _REFERENCE.fullmatch(node.value)):
        return named.get(name[1], node)
    return node


def _value(node: yaml.Node) -> Value | NotPlain:
    kind = node.tag.removeprefix(_PLAIN)
    if not isinstance(node, yaml.ScalarNode) or kind not in _SPELLINGS:
        return NotPlain(node.tag)
    try:
        return _SPELLINGS[kind](node.value)
    except (ValueError, KeyError):
        return NotPlain(node.tag)


def _whole(text: str) -> int:
    if not _INTEGER.fullmatch(text):
        raise ValueError("it is octal, of base 60 or longer than any size")
    return int(text)


_SPELLINGS: Final[Mapping[str, Callable[[str], Value]]] = {
    "int": _whole,
    "float": float,
    "bool": lambda text: _TRUTH[text.lower()],
    "str": str,
    "null": lambda _: None,
}
"""What plain values are, as far as people spell them so; YAML knows more."""
