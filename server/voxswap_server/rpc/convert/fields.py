"""Checks of single fields, gathered so that a caller hears of everything that is wrong at once.

Knows nothing of which message a field belongs to.
"""

import math
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import TypeVar

from google.protobuf.descriptor import EnumDescriptor

from voxswap_server.errors import InvalidFields
from voxswap_server.limits import ID_PATTERN, is_id

Value = TypeVar("Value")
Number = TypeVar("Number", int, float)


class Fields:
    """Collects violations. Each check returns a value of the right type, the given one unless it is wrong."""

    def __init__(self) -> None:
        self.violations: list[tuple[str, str]] = []

    def reject(self, field: str, what: str) -> None:
        self.violations.append((field, what))

    def require(self, field: str, *, given: bool) -> None:
        if not given:
            self.reject(field, "must be set")

    def voice_id(self, field: str, value: str) -> str:
        if not value:
            self.reject(field, "must be set")
        elif not is_id(value):
            self.reject(field, f"{value[:80]!r} does not match {ID_PATTERN}")
        return value

    def between(self, field: str, value: Number, low: Number, high: Number) -> Number:
        """`low` to `high`, both included."""
        if not low <= value <= high:
            self.reject(field, f"{value:g} is not within {low:g} to {high:g}")
            return low
        return value

    def above(self, field: str, value: float, low: float, high: float) -> float:
        """Greater than `low`, at most `high`."""
        if not low < value <= high:
            self.reject(field, f"{value:g} is not above {low:g} and at most {high:g}")
            return high
        return value

    def choice(self, field: str, value: int, enum: EnumDescriptor, table: Mapping[int, Value]) -> Value:
        """What the table says of an enum's value, the table's first value where it does not know it."""
        if value not in table:
            names = ", ".join(name.name for name in enum.values if name.number in table)
            self.reject(field, f"{value} is not a value of {enum.name}; choices: {names}")
            return next(iter(table.values()))
        return table[value]

    def at_most(self, field: str, count: int, limit: int, unit: str) -> None:
        if count > limit:
            self.reject(field, f"{count} {unit} are more than {limit}")


@contextmanager
def checked() -> Iterator[Fields]:
    """Collects the violations of a block.

    Raises:
        InvalidFields: there was at least one.
    """
    fields = Fields()
    yield fields
    if fields.violations:
        raise InvalidFields(fields.violations)


def finite_or_zero(value: float) -> float:
    """For telling numbers: JSON readers choke on NaN and infinity."""
    return value if math.isfinite(value) else 0.0
