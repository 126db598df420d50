"""The voices that there are, for their owners: the store and residency, joined. Implements `domain.VoiceLibrary`.

Blocking work (disks, imports) runs in a pool; a change of the store reaches residency before the call returns.
"""

import asyncio
from collections.abc import Callable, Sequence
from concurrent.futures import Executor
from functools import partial
from typing import Protocol, TypeVar

from voxswap_server.domain import Prompt, Pronunciation, VoiceChanges, VoiceInfo, VoiceUpload
from voxswap_server.engine.importing import PromptImport
from voxswap_server.engine.residency.contract import VoiceState
from voxswap_server.errors import VoiceUnusable, full_disk_told
from voxswap_server.logs import audit
from voxswap_server.nn.specs import spec_of
from voxswap_server.text.pronunciations import lexicon
from voxswap_store.catalogue import Catalogue
from voxswap_store.entries import BrokenVoice, VoiceEntry
from voxswap_store.importer import ImportRequest, import_voice

T = TypeVar("T")


class Residency(Protocol):
    """What the library asks of the model manager."""

    def voice_state(self, voice_id: str) -> VoiceState: ...
    async def reload(self, voice_id: str) -> object: ...
    async def unload_voice(self, voice_id: str, *, wait: bool = False) -> None: ...


class StoreLibrary:
    """The library of one store.

    Args:
        catalogue: the store.
        residency: whose copies of a changed voice must follow.
        prompts: checks and encodes the prompts of uploads.
        pool: where disks are waited for.
    """

    def __init__(self, catalogue: Catalogue, residency: Residency, prompts: PromptImport, pool: Executor) -> None:
        self._catalogue = catalogue
        self._residency = residency
        self._prompts = prompts
        self._pool = pool

    async def list_voices(self) -> Sequence[VoiceInfo]:
        return [self._info(entry) for entry in await self._run(self._catalogue.entries)]

    async def get_voice(self, voice_id: str) -> VoiceInfo:
        try:
            return self._info(await self._run(partial(self._catalogue.get, voice_id)))
        except VoiceUnusable as error:
            return self._info(BrokenVoice(voice_id, error.why))

    async def create_voice(self, upload: VoiceUpload) -> VoiceInfo:
        entry = await self._run(partial(self._import, upload))
        audit("import", voice=entry.voice_id, version=entry.manifest.version, revision=entry.revision)
        return self._info(entry)

    async def update_voice(self, voice_id: str, changes: VoiceChanges) -> VoiceInfo:
        if changes.prompt is not None:
            await self._run(partial(self._check_prompt, voice_id, changes.prompt))
        if changes.pronunciations:
            await self._run(partial(self._check_pronunciations, voice_id, changes.pronunciations))
        entry = await self._run(partial(self._catalogue.update, voice_id, changes))
        audit("update", voice=voice_id, revision=entry.revision)
        await self._residency.reload(voice_id)
        return self._info(entry)

    async def delete_voice(self, voice_id: str) -> None:
        await self._run(partial(self._catalogue.delete, voice_id))
        audit("delete", voice=voice_id)
        await self._residency.unload_voice(voice_id)

    def _check_prompt(self, voice_id: str, prompt: Prompt) -> None:
        """Raises `RequestError` for one that the voice cannot speak after, before it is kept."""
        self._prompts.check_main(prompt.audio)
        for clip in prompt.auxiliary:
            self._prompts.check_auxiliary(clip)
        self._prompts.phones(prompt, self._catalogue.get(voice_id).manifest.version)

    def _check_pronunciations(self, voice_id: str, pronunciations: Sequence[Pronunciation]) -> None:
        """Raises `RequestError` for one that the voice's alphabet cannot say, before it is kept."""
        lexicon(pronunciations, spec_of(self._catalogue.get(voice_id).manifest.version).symbols)

    def _import(self, upload: VoiceUpload) -> VoiceEntry:
        request, prompts = ImportRequest.from_upload(upload), self._prompts
        root = self._catalogue.root
        return import_voice(request, root, check_audio=prompts.check_main, encode_prompt=prompts.encode)

    def _info(self, entry: VoiceEntry | BrokenVoice) -> VoiceInfo:
        if isinstance(entry, BrokenVoice):
            return VoiceInfo(entry.voice_id, "", (), 0, state="broken", problem=entry.problem, has_prompt=False)
        manifest, state = entry.manifest, self._residency.voice_state(entry.voice_id)
        return VoiceInfo(
            voice_id=entry.voice_id,
            version=manifest.version,
            languages=manifest.languages,
            sample_rate_hz=spec_of(manifest.version).sample_rate_hz,
            display_name=manifest.display_name,
            description=manifest.description,
            licence=manifest.licence,
            consent=manifest.consent,
            tags=manifest.tags,
            has_prompt=manifest.files.reference is not None,
            state=state.state,
            problem=state.problem,
            bytes_total=manifest.bytes_total,
            revision=entry.revision,
        )

    async def _run(self, work: Callable[[], T]) -> T:
        with full_disk_told():
            return await asyncio.get_running_loop().run_in_executor(self._pool, work)
