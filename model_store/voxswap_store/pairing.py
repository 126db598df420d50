"""Which checkpoints of a GPT-SoVITS folder belong together.

Knows nothing of what is inside them. Upstream's trainer writes `GPT_weights*/NAME-e15.ckpt` and
`SoVITS_weights*/NAME_e8_s216.pth`, one folder of each a version; halves pair by version and name, the latest epoch of
each. What cannot be paired without a guess is told instead, and a mapping file decides it.
"""

import json
import re
import tomllib
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Final

from pydantic import Field, ValidationError

from voxswap_server.errors import RequestError
from voxswap_store.manifest import Line, Strict, Text, VoiceId, is_id

_T2S_FOLDER: Final = re.compile(r"GPT_weights(?:_(?P<family>\w+))?")
_SOVITS_FOLDER: Final = re.compile(r"SoVITS_weights(?:_(?P<family>\w+))?")
_T2S_FILE: Final = re.compile(r"(?P<name>.+?)(?:-e(?P<epoch>\d+))?\.ckpt")
_SOVITS_FILE: Final = re.compile(r"(?P<name>.+?)(?:_e(?P<epoch>\d+)_s\d+(?:_l\d+)?)?\.pth")
_DEPTH: Final = 3


class MappedVoice(Strict):
    """One `[voices.ID]` table of a mapping file; paths count from the folder that is imported."""

    name: str = ""
    """As the trainer called it; takes the pair of that name."""
    gpt: str = ""
    sovits: str = ""
    reference: str = ""
    auxiliary: tuple[str, ...] = ()
    transcript: Text = ""
    language: str = ""
    version: str = ""
    display_name: Line = ""
    description: Text = ""
    licence: Line = ""
    consent: Text = ""
    tags: tuple[Line, ...] = ()


class MappingFile(Strict):
    """A mapping file."""

    only: bool = False
    """Import the voices of this file alone."""
    voices: Annotated[dict[VoiceId, MappedVoice], Field(min_length=1)]


@dataclass(frozen=True, slots=True)
class Pair:
    """Two halves, and what is known of the voice beside them."""

    voice_id: str
    name: str
    t2s: Path
    sovits: Path
    told: MappedVoice


@dataclass(frozen=True, slots=True)
class Pairing:
    """What was found."""

    pairs: tuple[Pair, ...]
    problems: tuple[str, ...]
    """What was left out and why, a sentence each."""


@dataclass(frozen=True, slots=True)
class _File:
    path: Path
    family: str
    name: str
    epoch: int


def pair_checkpoints(directory: Path, mapping: Path | None = None) -> Pairing:
    """Looks through a folder of GPT-SoVITS.

    Args:
        directory: holds `GPT_weights*` and `SoVITS_weights*`, itself or a few levels down.
        mapping: a TOML file that names voices, see docs.

    Raises:
        RequestError: there is no such folder, nothing to import in it, or the mapping file is wrong.
    """
    if not directory.is_dir():
        raise RequestError("there is no such folder to import from", field="directory")
    t2s = _latest(_files(directory, _T2S_FOLDER, _T2S_FILE))
    sovits = _latest(_files(directory, _SOVITS_FOLDER, _SOVITS_FILE))
    told = _read_mapping(mapping) if mapping else None
    problems: list[str] = []
    pairs = [_mapped(i, voice, directory, t2s, sovits) for i, voice in (told.voices.items() if told else ())]
    if not (told and told.only):
        taken = {path for pair in pairs for path in (pair.t2s, pair.sovits)}
        pairs += _by_name(_without(t2s, taken), _without(sovits, taken), problems)
    if not pairs and not problems:
        raise RequestError("the folder holds no GPT_weights*/*.ckpt with SoVITS_weights*/*.pth", field="directory")
    return Pairing(_without_doubles(pairs, problems), tuple(problems))


_Key = tuple[str, str]
"""(family, name)"""


def _files(directory: Path, folder: re.Pattern[str], file: re.Pattern[str]) -> Iterator[_File]:
    for depth in range(_DEPTH):
        for parent in sorted(directory.glob("/".join(["*"] * (depth + 1)) + "/")):
            of_family = folder.fullmatch(parent.name)
            if of_family is None:
                continue
            for path in sorted(parent.iterdir()):
                named = file.fullmatch(path.name)
                if named and path.is_file():
                    yield _File(path, of_family["family"] or "v1", named["name"], int(named["epoch"] or 0))


def _latest(files: Iterator[_File]) -> dict[_Key, _File]:
    by_key: dict[_Key, list[_File]] = defaultdict(list)
    for file in files:
        by_key[file.family, file.name].append(file)
    return {key: max(same, key=lambda file: (file.epoch, file.path.stat().st_mtime)) for key, same in by_key.items()}


def _without(files: Mapping[_Key, _File], taken: set[Path]) -> dict[_Key, _File]:
    return {key: file for key, file in files.items() if file.path not in taken}


def _by_name(t2s: Mapping[_Key, _File], sovits: Mapping[_Key, _File], problems: list[str]) -> Iterator[Pair]:
    names = [name for _, name in sovits]
    for (family, name), file in sovits.items():
        voice_id = _slug(name if names.count(name) == 1 else f"{name}-{family}")
        if (family, name) not in t2s:
            others = sorted(other for other, same in t2s if same == name)
            hint = f"; there is one of {', '.join(others)}, which a mapping file may name" if others else ""
            problems.append(f"{file.path.name} ({family}) has no T2S checkpoint of its name and version{hint}")
        elif not is_id(voice_id):
            problems.append(
                f"{file.path.name} ({family}) has a name that makes no voice id; give one in a mapping file"
            )
        else:
            yield Pair(voice_id, name, t2s[family, name].path, file.path, MappedVoice())
    for (family, name), file in t2s.items():
        if name not in names:
            problems.append(f"{file.path.name} ({family}) has no SoVITS checkpoint of its name")


def _mapped(
    voice_id: str, voice: MappedVoice, directory: Path, t2s: Mapping[_Key, _File], sovits: Mapping[_Key, _File]
) -> Pair:
    """The halves that a table names; the T2S half is looked for beside the SoVITS half first."""
    name = voice.name or voice_id
    chosen = _half(voice_id, name, voice.sovits, directory, sovits.values())
    family = next((file.family for file in sovits.values() if file.path == chosen), None)
    beside = [file for file in t2s.values() if file.family == family and file.name == name]
    return Pair(voice_id, name, _half(voice_id, name, voice.gpt, directory, beside or t2s.values()), chosen, voice)


def _half(voice_id: str, name: str, path: str, directory: Path, files: Iterable[_File]) -> Path:
    """A file by its path, or the only one of that name."""
    if path:
        if not (directory / path).is_file():
            raise RequestError(f"voice {voice_id!r} of the mapping: there is no file {path!r}", field="mapping")
        return directory / path
    fitting = [file.path for file in files if file.name == name]
    if len(fitting) != 1:
        told = ", ".join(f"{path.parent.name}/{path.name}" for path in fitting) or "none"
        message = f"voice {voice_id!r} of the mapping: one checkpoint called {name!r} is needed, there are: {told}"
        raise RequestError(f"{message}; name it as `gpt` or `sovits`", field="mapping")
    return fitting[0]


def _without_doubles(pairs: list[Pair], problems: list[str]) -> tuple[Pair, ...]:
    by_id: dict[str, list[Pair]] = defaultdict(list)
    for pair in pairs:
        by_id[pair.voice_id].append(pair)
    for voice_id, same in by_id.items():
        if len(same) > 1:
            names = ", ".join(pair.sovits.name for pair in same)
            problems.append(f"{names} would all be called {voice_id!r}; give them ids in a mapping file")
    return tuple(same[0] for same in by_id.values() if len(same) == 1)


def _slug(name: str) -> str:
    """The name as an id, as far as it can be one."""
    return re.sub(r"[^a-z0-9_]+", "-", name.lower()).strip("-_")[:64]


def _read_mapping(path: Path) -> MappingFile:
    try:
        table = tomllib.loads(path.read_text(encoding="utf-8"))
        return MappingFile.model_validate_json(json.dumps(table, default=str))
    except OSError as error:
        raise RequestError(f"the mapping file cannot be read: {error.strerror}", field="mapping") from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise RequestError(f"the mapping file is not TOML: {error}", field="mapping") from None
    except ValidationError as error:
        problem = error.errors()[0]
        place = ".".join(map(str, problem["loc"]))
        raise RequestError(f"the mapping file: {place}: {problem['msg']}", field="mapping") from None
