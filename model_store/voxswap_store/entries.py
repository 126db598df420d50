"""A voice as its folder has it now: what its manifest says, whether its files are there, and what became of it since.

Knows nothing of other voices, and changes nothing.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Literal

from voxswap_store.manifest import BadManifest, StoredFile, VoiceManifest, parse_manifest

MANIFEST: Final = "voice.toml"


@dataclass(frozen=True, slots=True)
class VoiceEntry:
    """A voice that can be loaded."""

    manifest: VoiceManifest
    directory: Path
    revision: str
    """Content address: another revision is another voice under the same id."""
    built_in: bool = False
    """It came with voxswap, and nobody may change it."""

    @property
    def voice_id(self) -> str:
        return self.manifest.voice_id

    def path(self, file: StoredFile) -> Path:
        """Where one of its files lies."""
        return self.directory / file.name


@dataclass(frozen=True, slots=True)
class BrokenVoice:
    """A voice that is in the store and cannot be used."""

    voice_id: str
    problem: str


@dataclass(frozen=True, slots=True)
class Change:
    """What became of a voice."""

    kind: Literal["added", "changed", "removed"]
    voice_id: str
    entry: VoiceEntry | BrokenVoice | None
    """As it is now; None where it was removed."""


ById = Mapping[str, VoiceEntry | BrokenVoice]
Signature = tuple[tuple[int, int, int], ...]


def read_entry(directory: Path, root: Path) -> VoiceEntry | BrokenVoice:
    """The voice of a folder, whose name is its id, in a store."""
    voice_id = directory.name
    try:
        return _parsed(directory, root)
    except BadManifest as problem:
        return BrokenVoice(voice_id, str(problem))
    except OSError as problem:
        return BrokenVoice(voice_id, problem.strerror or "it cannot be read")


def signature_of(directory: Path) -> Signature | None:
    """Changes whenever a file of the folder is put in place of another, grows, shrinks or is touched.

    None where there is no folder; () where it cannot be told, so that the manifest is read anyway.
    """
    if not directory.is_dir():
        return None
    try:
        stats = [path.stat() for path in (directory, *sorted(directory.iterdir()))]
    except OSError:  # a link to nowhere, or gone this moment
        return ()
    return tuple((s.st_ino, s.st_size, s.st_mtime_ns) for s in stats)


def differences(before: ById, now: ById) -> Iterator[Change]:
    """What became of voices, in the order of their ids."""
    for voice_id in sorted(before.keys() | now.keys()):
        old, new = before.get(voice_id), now.get(voice_id)
        if new is None:
            yield Change("removed", voice_id, None)
        elif old is None:
            yield Change("added", voice_id, new)
        elif _told(old) != _told(new):
            yield Change("changed", voice_id, new)


def _told(entry: VoiceEntry | BrokenVoice) -> str:
    return entry.revision if isinstance(entry, VoiceEntry) else f"broken: {entry.problem}"


def _parsed(directory: Path, root: Path) -> VoiceEntry:
    _require_inside(directory / MANIFEST, root)
    try:
        manifest = parse_manifest((directory / MANIFEST).read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise BadManifest("it has no voice.toml") from None
    except UnicodeDecodeError:
        raise BadManifest("voice.toml is not UTF-8") from None
    if manifest.voice_id != directory.name:
        raise BadManifest(f"voice.toml is that of {manifest.voice_id!r}")
    for file in manifest.files.all():
        _require_inside(directory / file.name, root)
        try:
            size = (directory / file.name).stat().st_size
        except FileNotFoundError:
            raise BadManifest(f"{file.name} is missing") from None
        if size != file.bytes:
            raise BadManifest(f"{file.name} has {size} bytes instead of {file.bytes}")
    return VoiceEntry(manifest, directory, manifest.revision)


def _require_inside(path: Path, root: Path) -> None:
    if not path.resolve().is_relative_to(root.resolve()):
        raise BadManifest(f"{path.name} lies outside the store")
