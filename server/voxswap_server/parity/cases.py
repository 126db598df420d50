"""Golden cases as values: what upstream was given, what it computed on the way, what came out.

Knows the layout of a directory of goldens and nothing of networks. A case remembers which of its arrays were asked for,
so that one that nothing compares cannot pass unseen.
"""

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, TypeAdapter, ValidationError

from voxswap_server.parity.errors import BadGoldens

Array = NDArray[Any]

_SIDECARS = (".runs.json", ".manifest.json")


class _Record(BaseModel):
    model_config = ConfigDict(frozen=True, extra="ignore", protected_namespaces=())


class Inputs(_Record):
    """Arguments that upstream was called with."""

    text: str
    text_lang: str
    ref_audio_path: str
    """Key of a clip: `shared/ref_<key>.wav`."""
    aux_ref_audio_paths: tuple[str, ...] = ()
    prompt_text: str = ""
    prompt_lang: str = ""
    top_k: int
    top_p: float
    temperature: float
    repetition_penalty: float
    text_split_method: str
    speed_factor: float = 1.0
    fragment_interval: float
    """Seconds of silence after each utterance."""
    sample_steps: int = 32
    parallel_infer: bool = True
    return_fragment: bool = False
    streaming_mode: bool = False


class Noise(_Record):
    """How the noise of the decoder's calls was made."""

    mode: str
    """zero or seed."""
    seed: int
    shapes: tuple[tuple[int, ...], ...]
    """In call order."""
    sha256: tuple[str, ...]


class SampleNoise(_Record):
    seed: int


class ModelFiles(_Record):
    s1: str
    s2: str
    base: str | None = None
    """What a LoRA lies on."""


class Segment(_Record):
    """One utterance of the text, or the prompt's transcript."""

    text: str
    lang: str
    phones: tuple[int, ...]
    norm_text: str


class CallSettings(_Record):
    """Arguments of one call of the token generator."""

    top_k: int
    top_p: float
    temperature: float
    repetition_penalty: float = 1.35
    early_stop_num: int


class T2SCall(_Record):
    """One call of the token generator."""

    fn: str
    semantic: tuple[Any, ...]
    """Kept tokens of each row, or of the one row."""
    all_phones: tuple[tuple[int, ...], ...]
    """Prompt and segment, a row each, in batch order."""
    kw: CallSettings

    @property
    def tokens(self) -> tuple[tuple[int, ...], ...]:
        """Kept tokens of each row."""
        rows = self.semantic if self.semantic and isinstance(self.semantic[0], list | tuple) else (self.semantic,)
        return tuple(tuple(row) for row in rows)


class LanguageRun(_Record):
    text: str
    lang: str
    n_phones: int
    word2ph: tuple[int, ...] | None = None
    norm_text: str


class SegmentRuns(_Record):
    """Language runs of one segment."""

    text: str
    bert: str | None
    """Name of its text features; None stands for zeros."""
    runs: tuple[LanguageRun, ...]


class Output(_Record):
    n: int
    sha256: str


class _CaseFile(_Record):
    name: str
    inputs: Inputs
    noise: Noise
    sample_noise: SampleNoise | None = None
    model_files: ModelFiles
    text_segments: tuple[Segment, ...]
    prompt_semantic: tuple[int, ...]
    s1_calls: tuple[T2SCall, ...]
    s1_stream_tokens: tuple[Any, ...] = ()
    outputs: tuple[Output, ...]
    output_sr: int
    capture_shapes: dict[str, tuple[tuple[int, ...], ...]]


@dataclass
class Case:
    """One golden case, with its arrays."""

    version: str
    record: _CaseFile
    arrays: Mapping[str, Array]
    """Of NAME.npz."""
    bert_arrays: Mapping[str, Array]
    """Of NAME.bert.npz."""
    runs: tuple[SegmentRuns, ...]
    """Of each text segment; none where no segment is Chinese."""
    used: set[str] = field(default_factory=set)
    """Names of `arrays` that a comparison asked for, or that are inputs."""

    @property
    def name(self) -> str:
        return f"{self.version}/{self.record.name}"

    @property
    def inputs(self) -> Inputs:
        return self.record.inputs

    @property
    def has_prompt(self) -> bool:
        """A transcript is given, so its phones and tokens come first."""
        return bool(self.inputs.prompt_text)

    @property
    def streams(self) -> bool:
        """Upstream streamed token by token: its raw tokens are on record instead of its calls.

        Versions that cannot, although they were asked to, are recorded like any other case.
        """
        return bool(self.record.s1_stream_tokens)

    @property
    def targets(self) -> range:
        """Segments that are spoken, as indices."""
        return range(1 if self.has_prompt else 0, len(self.record.text_segments))

    @property
    def prompt_phones(self) -> tuple[int, ...]:
        return self.record.text_segments[0].phones if self.has_prompt else ()

    def has(self, name: str) -> bool:
        return name in self.arrays

    def array(self, name: str) -> Array:
        """One array; it counts as compared."""
        self.used.add(name)
        return self.arrays[name]

    def unused(self) -> list[str]:
        """Arrays that nothing has asked for."""
        return sorted(set(self.arrays) - self.used)

    def calls(self) -> Iterator[T2SCall]:
        """Generator calls, each generation once.

        Without a prompt upstream's batch function hands over to the naive one: both are on record, the one that did
        the work first.
        """
        before: T2SCall | None = None
        for call in self.record.s1_calls:
            handed_over = before is not None and not self.has_prompt and before.all_phones == call.all_phones
            if not handed_over:
                yield call
            before = call

    def bert_of(self, segment: int) -> Array | None:
        """Text features (1024, phones) of a segment; None stands for zeros."""
        name = self.runs[segment].bert if self.runs else None
        if name is None:
            return None
        return self.bert_arrays[name] if name in self.bert_arrays else self.array(name)


@dataclass(frozen=True)
class Goldens:
    """A directory of golden cases."""

    root: Path

    def __post_init__(self) -> None:
        if not any(self.root.glob("*/cases/*.json")):
            raise BadGoldens(f"{self.root.name or self.root} holds no cases: VERSION/cases/NAME.json is expected")

    @property
    def versions(self) -> list[str]:
        """Versions with cases, in the order of their names."""
        return sorted({path.parent.parent.name for path in self.root.glob("*/cases/*.json")})

    def case_names(self, version: str) -> list[str]:
        names = (path.name for path in (self.root / version / "cases").glob("*.json"))
        return sorted(name.removesuffix(".json") for name in names if not name.endswith(_SIDECARS))

    def select(self, versions: list[str] | None, patterns: list[str] | None) -> list[tuple[str, str]]:
        """(version, case) that are asked for.

        Args:
            versions: None is all there are.
            patterns: of case names, or of `version/name`; None is all.

        Raises:
            BadGoldens: a version or a pattern that nothing answers to.
        """
        unknown = sorted(set(versions or ()) - set(self.versions))
        if unknown:
            raise BadGoldens(f"no cases of {', '.join(unknown)}; there are {', '.join(self.versions)}")
        found = [(version, name) for version in versions or self.versions for name in self.case_names(version)]
        if patterns is None:
            return found
        for pattern in patterns:
            if not any(_matches(pattern, *case) for case in found):
                raise BadGoldens(f"no case is called {pattern!r}")
        return [case for case in found if any(_matches(pattern, *case) for pattern in patterns)]

    def case(self, version: str, name: str) -> Case:
        """Reads one case.

        Raises:
            BadGoldens: a file of it is missing or not what it should be.
        """
        stem = self.root / version / "cases" / name
        runs = stem.with_name(f"{name}.runs.json")
        bert = stem.with_name(f"{name}.bert.npz")
        try:
            return Case(
                version,
                _CaseFile.model_validate_json(stem.with_name(f"{name}.json").read_bytes()),
                np.load(stem.with_name(f"{name}.npz")),
                np.load(bert) if bert.exists() else {},
                _RUNS.validate_python(json.loads(runs.read_bytes())) if runs.exists() else (),
            )
        except (OSError, ValueError) as error:  # of pydantic and of json too
            raise BadGoldens(f"{version}/{name} cannot be read: {_first_line(error)}") from error


_RUNS = TypeAdapter(tuple[SegmentRuns, ...])


def _matches(pattern: str, version: str, name: str) -> bool:
    return fnmatchcase(name, pattern) or fnmatchcase(f"{version}/{name}", pattern)


def _first_line(error: Exception) -> str:
    if isinstance(error, ValidationError):
        first = error.errors()[0]
        return f"{'.'.join(str(part) for part in first['loc'])}: {first['msg']}"
    return str(error).splitlines()[0]
