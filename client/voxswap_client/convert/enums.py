"""Names of enum values, both ways.

Knows nothing of any one enum: on the wire a value is called `PREFIX_NAME`, here it is `name`.
"""

from google.protobuf.descriptor import EnumDescriptor


def number(kind: EnumDescriptor, prefix: str, name: str | None) -> int:
    """The number of a value; None is the unspecified zero.

    Raises:
        ValueError: there is no such value; names the choices.
    """
    if name is None:
        return 0
    found = kind.values_by_name.get(f"{prefix}_{name.upper()}")
    if found is None:
        choices = ", ".join(_name(value.name, prefix) for value in kind.values if value.number)
        raise ValueError(f"{kind.name} has no {name!r}; choices: {choices}")
    value: int = found.number
    return value


def name(kind: EnumDescriptor, prefix: str, value: int) -> str:
    """The name of a value; "" for the unspecified zero, the number itself for one that only a newer server knows."""
    if value == 0:
        return ""
    found = kind.values_by_number.get(value)
    return _name(found.name, prefix) if found else str(value)


def _name(wire: str, prefix: str) -> str:
    return wire.removeprefix(f"{prefix}_").lower()
