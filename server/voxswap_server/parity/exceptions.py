"""The table of exceptions: where upstream's behaviour is a defect that we leave out on purpose.

`fidelity.toml` beside this file is the one source; the tables of docs/FIDELITY.md are rendered from it, and a test
holds them equal. An exception excuses named stages of cases that fit; everything else of these cases still binds.
"""

import tomllib
from collections.abc import Iterable, Sequence
from fnmatch import fnmatchcase
from importlib.resources import files
from typing import Any

from pydantic import BaseModel, ConfigDict

from voxswap_server.parity.cases import Case
from voxswap_server.parity.compare import Row, Verdict, excuse


class _Strict(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Exemption(_Strict):
    """One entry: these stages of these cases need not agree."""

    id: str
    cases: tuple[str, ...]
    """Patterns of `version/name`; one must fit."""
    inputs: dict[str, Any] = {}
    """Arguments of the case that must have these values, too."""
    stages: tuple[str, ...]
    """Patterns of stage names."""
    reason: str
    """Why upstream's behaviour is not wanted."""
    instead: str
    """What we do."""

    def covers(self, case: Case, stage: str) -> bool:
        return (
            any(fnmatchcase(case.name, pattern) for pattern in self.cases)
            and all(getattr(case.inputs, name) == value for name, value in self.inputs.items())
            and any(fnmatchcase(stage, pattern) for pattern in self.stages)
        )


class Departure(_Strict):
    """Something that the server does otherwise, and the tool replays upstream's way, so that no stage is excused."""

    spec: str
    """Where SPEC.md tells of it."""
    upstream: str
    ours: str
    replayed: str
    """How the tool bridges the difference."""


class Fidelity(_Strict):
    exemptions: tuple[Exemption, ...]
    departures: tuple[Departure, ...]

    def judge(self, case: Case, rows: Iterable[Row]) -> list[Row]:
        """The same rows; a failure that an entry covers is excused."""
        return [self._judged(case, row) for row in rows]

    def _judged(self, case: Case, row: Row) -> Row:
        if row.verdict is not Verdict.FAIL:
            return row
        entry = next((entry for entry in self.exemptions if entry.covers(case, row.stage)), None)
        return excuse(row, entry.id) if entry else row


def load_fidelity() -> Fidelity:
    """Reads `fidelity.toml`."""
    return Fidelity.model_validate(tomllib.loads(files("voxswap_server.parity").joinpath("fidelity.toml").read_text()))


def exemptions_table(fidelity: Fidelity) -> str:
    """Markdown."""
    rows = [
        (
            entry.id,
            ", ".join(f"`{pattern}`" for pattern in entry.cases)
            + "".join(f" with `{name} = {value}`" for name, value in entry.inputs.items()),
            ", ".join(f"`{pattern}`" for pattern in entry.stages),
            entry.reason,
            entry.instead,
        )
        for entry in fidelity.exemptions
    ]
    return _table(("id", "cases", "stages excused", "why", "what we do instead"), rows)


def departures_table(fidelity: Fidelity) -> str:
    """Markdown."""
    rows = [(entry.spec, entry.upstream, entry.ours, entry.replayed) for entry in fidelity.departures]
    return _table(("SPEC", "upstream", "voxswap", "how the tool still compares"), rows)


def _table(header: tuple[str, ...], rows: Sequence[tuple[str, ...]]) -> str:
    lines = [header, tuple("---" for _ in header), *rows]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)
