"""What a soak wrote down: lines of JSON, appended as they come, so that a run that ends early has lost nothing.

A log holds any number of runs of one soak; their counts add up. Knows nothing of voices or of what is counted.
"""

import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Final, Literal, Self, TextIO

Kind = Literal["swaps", "text"]
GOALS: Final[Mapping[Kind, float]] = {"swaps": 10_000, "text": 90}
"""How far a soak has to go before it says anything."""
UNITS: Final[Mapping[Kind, str]] = {"swaps": "swaps", "text": "minutes of audio"}


class BadLog(ValueError):
    """A file is not the log of a soak, or is that of another one."""


@dataclass(frozen=True, slots=True)
class Setting:
    """What a run did; runs of another setting do not add up with it."""

    kind: Kind
    transport: str
    """engine: in the process that measures; grpc: a server in a process of its own."""
    voices: str
    """What they are, in words."""
    threads: int


@dataclass(frozen=True, slots=True)
class Sample:
    count: float
    """Since the run began, in `UNITS`."""
    rss_bytes: int
    """Resident memory of the process that speaks."""
    wall_s: float
    """Since the run began."""


@dataclass(frozen=True, slots=True)
class Run:
    """One process."""

    setting: Setting
    began: str
    """ISO 8601."""
    machine: str
    samples: tuple[Sample, ...]

    @property
    def count(self) -> float:
        return self.samples[-1].count if self.samples else 0.0


class Log:
    """Appends one run to a file.

    Raises:
        BadLog: the file holds runs of another setting.
    """

    def __init__(self, file: TextIO) -> None:
        self._file = file

    @classmethod
    def begin(cls, path: Path, setting: Setting, began: str, machine: str) -> Self:
        """Opens a log that may hold earlier runs, and writes down that another one begins."""
        if path.exists():
            for run in read([path]):
                if run.setting != setting:
                    raise BadLog(f"{path.name} is the log of {run.setting}, not of {setting}")
            whole, _cut, _off = path.read_bytes().rpartition(b"\n")
            path.write_bytes(whole + b"\n")  # a line that was cut off does not grow together with the next one
        log = cls(path.open("a", encoding="utf-8"))
        log._write({"began": began, "machine": machine, "setting": asdict(setting)})
        return log

    def add(self, sample: Sample) -> None:
        self._write(asdict(sample))

    def close(self) -> None:
        self._file.close()

    def _write(self, row: Mapping[str, object]) -> None:
        self._file.write(json.dumps(row) + "\n")
        self._file.flush()


def read(paths: Iterable[Path]) -> list[Run]:
    """All runs of some logs, in order. A last line that was cut off in the middle is passed over.

    Raises:
        BadLog: a file is no log.
    """
    return [run for path in paths for run in _runs(path)]


def _runs(path: Path) -> Iterator[Run]:
    head: Mapping[str, object] | None = None
    samples: list[Sample] = []
    lines = path.read_text("utf-8").splitlines(keepends=True)
    for number, line in enumerate(lines, 1):
        if not line.endswith("\n"):  # its process was ended while it wrote
            continue
        try:
            row = json.loads(line)
            if "began" not in row:
                samples.append(Sample(**row))
                continue
            if head is not None:
                yield _run(head, samples)
            head, samples = row, []
        except (TypeError, ValueError) as error:
            raise BadLog(f"{path.name}, line {number}: {error}") from error
    if head is None:
        raise BadLog(f"{path.name} holds no run")
    yield _run(head, samples)


def _run(head: Mapping[str, object], samples: list[Sample]) -> Run:
    given = head["setting"]
    if not isinstance(given, dict):
        raise BadLog(f"a run has the setting {given!r}")
    return Run(Setting(**given), str(head["began"]), str(head["machine"]), tuple(samples))
