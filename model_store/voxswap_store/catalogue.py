"""The voices that there are.

Knows nothing of torch or of how a voice is imported: it lists folders, reads their manifests, and changes them whole.
A voice is asked for by its id and by nothing else; one that is broken is listed with its reason and hides no other.
Built-in voices lie below those of the store: a voice of the store hides the built-in one of its id.
Every answer is as fresh as the disk: a look at a few sizes and times tells whether a manifest must be read again.
"""

import asyncio
import threading
from collections.abc import AsyncGenerator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any, Final

from watchfiles import awatch

from voxswap_server.domain import VoiceChanges
from voxswap_server.errors import RequestError, VoiceExists, VoiceNotFound, VoiceUnusable
from voxswap_store.assets import base_file
from voxswap_store.edits import prompt_text, revised, store_prompt_files, stored_pronunciations, with_sampling
from voxswap_store.entries import (
    MANIFEST,
    BrokenVoice,
    ById,
    Change,
    Signature,
    VoiceEntry,
    differences,
    read_entry,
    signature_of,
)
from voxswap_store.files import Staging, clear_abandoned, exclusive, hash_file, remove_directory, replace_file
from voxswap_store.manifest import VoiceManifest, format_manifest, is_id, require_id
from voxswap_store.safetensors_header import BadHeader, read_header

_LOOKS: Final = 50
"""How often a voice that seems broken is looked at again while somebody is changing it."""
_RESCAN_MS: Final = 5_000
"""The watcher looks this often even when the system tells of no change: network disks tell of none."""


_Known = tuple[Signature, VoiceEntry | BrokenVoice]


class Catalogue:
    """Reads and changes the voices below one root; may be used from any thread and beside other processes.

    Args:
        root: of the store.
        below: the built-in voices, which are read and never changed.
    """

    def __init__(self, root: Path, below: "Catalogue | None" = None) -> None:
        self.root = root
        self._below = below
        self._voices = root / "voices"
        self._lock = threading.Lock()
        self._known: dict[str, _Known] = {}
        clear_abandoned(root)

    def ids(self) -> tuple[str, ...]:
        """Of every voice, broken ones included, in order."""
        return tuple(sorted({*self._directories(), *(self._below.ids() if self._below else ())}))

    def hidden(self) -> tuple[str, ...]:
        """Ids of the built-in voices in whose place a voice of the store is heard."""
        return tuple(sorted(self._directories().keys() & set(self._below.ids()))) if self._below else ()

    def entries(self) -> tuple[VoiceEntry | BrokenVoice, ...]:
        """Every voice, in the order of the ids."""
        found = (self._look(voice_id) for voice_id in self.ids())
        return tuple(entry for entry in found if entry is not None)

    def get(self, voice_id: str) -> VoiceEntry:
        """The voice of this id.

        Raises:
            VoiceNotFound: there is none.
            VoiceUnusable: there is one, but something is wrong with it.
        """
        entry = self._look(voice_id) if is_id(voice_id) else None
        if entry is None:
            raise VoiceNotFound(voice_id[:80], self.ids())
        if isinstance(entry, BrokenVoice):
            raise VoiceUnusable(voice_id, entry.problem)
        return entry

    def validate(self, voice_id: str) -> VoiceEntry:
        """The voice of this id, after every byte of it was compared with its manifest.

        Raises:
            VoiceNotFound, VoiceUnusable: as `get`.
            AssetMissing: the base that it lies on is not installed.
        """
        entry = self.get(voice_id)
        for file in entry.manifest.files.all():
            if hash_file(entry.path(file)) != (file.sha256, file.bytes):
                raise VoiceUnusable(voice_id, f"{file.name} is not the file that the manifest describes")
        for part in (entry.manifest.files.t2s, entry.manifest.files.decoder, entry.manifest.files.prompt):
            if part is not None:
                _require_header(voice_id, entry.path(part))
        base = entry.manifest.base_sha256
        if base is not None and hash_file(base_file(self.root, entry.manifest.version))[0] != base:
            raise VoiceUnusable(voice_id, "the base that it lies on is another one now")
        return entry

    def watch(self, stop: asyncio.Event | None = None) -> AsyncGenerator[Change, None]:
        """Tells of every change from now on, whoever makes it.

        Args:
            stop: ends the iteration when it is set.
        """
        return self._changes(self._by_id(), stop)

    async def _changes(self, seen: ById, stop: asyncio.Event | None) -> AsyncGenerator[Change, None]:
        await asyncio.to_thread(self._voices.mkdir, parents=True, exist_ok=True)
        ticks = awatch(self._voices, stop_event=stop, yield_on_timeout=True, rust_timeout=_RESCAN_MS)
        tick = asyncio.ensure_future(anext(ticks, None))
        await asyncio.sleep(0)  # now the system is watching: what happens from here on ends in a tick
        try:
            while True:
                now = await asyncio.to_thread(self._by_id)
                for change in differences(seen, now):
                    yield change
                seen = now
                if await tick is None:
                    return
                tick = asyncio.ensure_future(anext(ticks, None))
        finally:
            tick.cancel()
            await asyncio.gather(tick, return_exceptions=True)
            await ticks.aclose()

    def install(self, staging: Staging, manifest: VoiceManifest, *, replace: bool = False) -> VoiceEntry:
        """Makes a voice of a folder that holds its files.

        Args:
            staging: with the files that the manifest names.
            manifest: of the new voice.
            replace: put it in place of a voice of the same id; who has that one open keeps it.

        Raises:
            VoiceExists: there is one already, and `replace` is False.
        """
        target = self._voices / require_id(manifest.voice_id)
        (staging.path / MANIFEST).write_text(format_manifest(manifest), encoding="utf-8")
        with exclusive(self.root):
            if replace and target.is_dir():
                self._move_into(target, staging, manifest)
            else:
                try:
                    staging.publish(target)
                except FileExistsError:
                    raise VoiceExists(manifest.voice_id) from None
        return self.get(manifest.voice_id)

    def update(self, voice_id: str, changes: VoiceChanges) -> VoiceEntry:
        """Changes what the owner may change.

        Raises:
            VoiceNotFound, VoiceUnusable: as `get`.
            RequestError: a value is not allowed; the message names it. Or the voice is built in.
        """
        with exclusive(self.root), Staging(self.root) as staging:
            entry = self._own(voice_id)
            told = ("display_name", "description", "licence", "consent", "tags")
            fields: dict[str, Any] = {k: v for k in told if (v := getattr(changes, k)) is not None}
            if changes.sampling is not None:
                fields["defaults"] = with_sampling(entry.manifest.defaults, changes.sampling)
            if changes.pronunciations is not None:
                fields["pronunciations"] = stored_pronunciations(changes.pronunciations)
            if changes.prompt is not None:
                files = entry.manifest.files
                fields["files"] = files.model_copy(update=store_prompt_files(staging, changes.prompt, suffix=True))
                fields["prompt"] = prompt_text(changes.prompt)
            self._move_into(entry.directory, staging, revised(entry.manifest, fields))
        return self.get(voice_id)

    def delete(self, voice_id: str) -> None:
        """Removes a voice, broken or not; who has it open keeps it.

        Raises:
            VoiceNotFound: there is none.
            RequestError: it is built in.
        """
        with exclusive(self.root):
            directory = self._directories().get(voice_id)
            if directory is None:
                self._own(voice_id)
                raise VoiceNotFound(voice_id[:80], self.ids())
            if directory.is_symlink():
                directory.unlink()
            else:
                remove_directory(self.root, directory)

    def _own(self, voice_id: str) -> VoiceEntry:
        """A voice that may be changed."""
        entry = self.get(voice_id)
        if entry.built_in:
            raise RequestError(
                f"voice {voice_id!r} is built in: it can be neither changed nor deleted; a voice that you import under "
                "this id takes its place, and `voices.built_in = false` switches all of them off",
                field="voice_id",
            )
        return entry

    def _directories(self) -> Mapping[str, Path]:
        try:
            return {path.name: path for path in self._voices.iterdir() if is_id(path.name) and path.is_dir()}
        except FileNotFoundError:
            return {}

    def _by_id(self) -> ById:
        return {entry.voice_id: entry for entry in self.entries()}

    def _look(self, voice_id: str) -> VoiceEntry | BrokenVoice | None:
        """A voice as it is on the disk now; None where there is none."""
        directory = self._voices / voice_id
        entry: VoiceEntry | BrokenVoice | None = None
        for _ in range(_LOOKS):
            signature = signature_of(directory)
            with self._lock:
                known = self._known.get(voice_id) if signature else self._known.pop(voice_id, None)
            if signature is None:
                return self._built_in(voice_id)
            if known is not None and known[0] == signature:
                return known[1]
            entry = read_entry(directory, self.root)
            if signature and signature_of(directory) == signature:
                with self._lock:
                    self._known[voice_id] = (signature, entry)
                return entry
            if isinstance(entry, VoiceEntry):
                return entry
        return entry  # broken, and still being written to

    def _built_in(self, voice_id: str) -> VoiceEntry | BrokenVoice | None:
        entry = self._below._look(voice_id) if self._below else None  # noqa: SLF001 - its own kind
        return replace(entry, built_in=True) if isinstance(entry, VoiceEntry) else entry

    def _move_into(self, directory: Path, staging: Staging, manifest: VoiceManifest) -> None:
        """New files first, then the manifest, which makes them the voice; last the files that nobody names any more."""
        for file in manifest.files.all():
            fresh = staging.path / file.name
            if fresh.exists():
                fresh.replace(directory / file.name)
        replace_file(directory / MANIFEST, format_manifest(manifest).encode())
        kept = {MANIFEST, *(file.name for file in manifest.files.all())}
        for path in directory.iterdir():
            if path.name not in kept and not path.is_dir():
                path.unlink()


def _require_header(voice_id: str, path: Path) -> None:
    try:
        with path.open("rb") as file:
            read_header(file)
    except BadHeader as error:
        raise VoiceUnusable(voice_id, f"{path.name}: {error}") from None
