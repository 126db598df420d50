"""What a check finds. Knows nothing of checks."""

from dataclasses import dataclass
from enum import StrEnum


class Severity(StrEnum):
    GOOD = "good"
    NOTE = "note"
    """It works; this is worth knowing."""
    WARNING = "warning"
    """It works, but not as well as it could, or not for everything."""
    PROBLEM = "problem"
    """It will not work."""


@dataclass(frozen=True, slots=True)
class Finding:
    severity: Severity
    what: str
    remedy: str = ""
    """What to do; "" where there is nothing to do."""


def good(what: str) -> Finding:
    return Finding(Severity.GOOD, what)


def note(what: str, remedy: str = "") -> Finding:
    return Finding(Severity.NOTE, what, remedy)


def warning(what: str, remedy: str) -> Finding:
    return Finding(Severity.WARNING, what, remedy)


def problem(what: str, remedy: str) -> Finding:
    return Finding(Severity.PROBLEM, what, remedy)
