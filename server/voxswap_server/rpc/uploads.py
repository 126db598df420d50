"""Joins the stream of CreateVoice into one upload, within bounds.

Knows nothing of what checkpoints hold. A file is written to a temporary spool while it arrives, so what a slow sender
has sent so far costs disk, not memory; its length is announced, so one that is too long is refused before it is sent.
"""

import asyncio
import hashlib
import tempfile
from collections.abc import AsyncIterator
from contextlib import ExitStack
from dataclasses import dataclass
from typing import IO

from voxswap.v1 import voice_service_pb2
from voxswap_server.domain import Prompt, VoiceUpload
from voxswap_server.errors import RequestError, full_disk_told
from voxswap_server.limits import MAX_AUXILIARY
from voxswap_server.rpc.convert.fields import checked
from voxswap_server.rpc.convert.voices import check_new_voice, to_tags

Kind = voice_service_pb2.VoiceFileKind.ValueType

SPOOL_BYTES = 1024 * 1024
"""What is kept in memory before a file goes to disk."""


@dataclass(frozen=True, slots=True)
class UploadLimits:
    max_checkpoint_bytes: int = 2 * 1024**3
    """Of each of the two checkpoints; upstream's largest are below 1 GiB."""
    max_audio_bytes: int = 32 * 1024**2
    """Of each clip."""


@dataclass(frozen=True, slots=True)
class _Rule:
    """What holds for one kind of file."""

    name: str
    count: int
    checkpoint: bool


RULES: dict[int, _Rule] = {
    voice_service_pb2.VOICE_FILE_KIND_T2S_CHECKPOINT: _Rule("T2S checkpoint", 1, checkpoint=True),
    voice_service_pb2.VOICE_FILE_KIND_SOVITS_CHECKPOINT: _Rule("SoVITS checkpoint", 1, checkpoint=True),
    voice_service_pb2.VOICE_FILE_KIND_REFERENCE_AUDIO: _Rule("reference audio", 1, checkpoint=False),
    voice_service_pb2.VOICE_FILE_KIND_AUXILIARY_AUDIO: _Rule("auxiliary audio", MAX_AUXILIARY, checkpoint=False),
}


class _Incoming:
    """A file on its way."""

    def __init__(self, header: voice_service_pb2.VoiceFile, spool: IO[bytes]) -> None:
        self.kind = header.kind
        self._name = RULES[header.kind].name
        self._size = header.size_bytes
        self._sha256 = header.sha256
        self._spool = spool
        self._received = 0

    async def write(self, data: bytes) -> None:
        self._received += len(data)
        if self._received > self._size:
            raise RequestError(f"the {self._name} is longer than the {self._size} bytes announced", field="data")
        with full_disk_told():
            await asyncio.to_thread(self._spool.write, data)

    async def finish(self) -> bytes:
        if self._received < self._size:
            raise RequestError(
                f"the {self._name} ended after {self._received} of the {self._size} bytes announced", field="data"
            )
        return await asyncio.to_thread(self._read)

    def _read(self) -> bytes:
        self._spool.seek(0)
        content = self._spool.read()
        self._spool.close()
        if self._sha256 and (found := hashlib.sha256(content).hexdigest()) != self._sha256:
            raise RequestError(
                f"the {self._name} arrived with sha256 {found}, announced was {self._sha256}", field="file.sha256"
            )
        return content


async def receive_upload(
    messages: AsyncIterator[voice_service_pb2.CreateVoiceRequest], limits: UploadLimits
) -> VoiceUpload:
    """Reads the whole stream: `voice` first, then for each file one `file` and its `data`.

    Raises:
        RequestError: out of order, too long, too short, not what was announced, or something is missing.
    """
    voice: voice_service_pb2.NewVoice | None = None
    files: dict[int, list[bytes]] = {}
    incoming: _Incoming | None = None
    with ExitStack() as spools:
        async for message in messages:
            part = message.WhichOneof("message")
            if (part == "voice") != (voice is None):
                raise RequestError(
                    f"the first message must be `voice`, and only the first; got `{part or 'nothing'}`", field="voice"
                )
            if part == "voice":
                voice = message.voice
                with checked() as fields:
                    check_new_voice(fields, voice)
            elif part == "file":
                await _close(incoming, files)
                _check_file(message.file, files, limits)
                spool = spools.enter_context(tempfile.SpooledTemporaryFile(max_size=SPOOL_BYTES))
                incoming = _Incoming(message.file, spool)
            elif part == "data" and incoming is not None:
                await incoming.write(message.data)
            else:
                raise RequestError("`data` must follow a `file` that says what it is", field="data")
        await _close(incoming, files)
    if voice is None:
        raise RequestError("the stream ended before its first message, `voice`", field="voice")
    return _to_upload(voice, files)


async def _close(incoming: _Incoming | None, files: dict[int, list[bytes]]) -> None:
    if incoming is not None:
        files.setdefault(incoming.kind, []).append(await incoming.finish())


def _check_file(header: voice_service_pb2.VoiceFile, files: dict[int, list[bytes]], limits: UploadLimits) -> None:
    with checked() as fields:
        rule = fields.choice("file.kind", header.kind, voice_service_pb2.VoiceFileKind.DESCRIPTOR, RULES)
        limit = limits.max_checkpoint_bytes if rule.checkpoint else limits.max_audio_bytes
        fields.between("file.size_bytes", header.size_bytes, 1, limit)
        if len(files.get(header.kind, ())) >= rule.count:
            fields.reject("file.kind", f"at most {rule.count} file(s) of {rule.name} go with a voice")


def _to_upload(voice: voice_service_pb2.NewVoice, files: dict[int, list[bytes]]) -> VoiceUpload:
    reference = files.get(voice_service_pb2.VOICE_FILE_KIND_REFERENCE_AUDIO, [])
    auxiliary = files.get(voice_service_pb2.VOICE_FILE_KIND_AUXILIARY_AUDIO, [])
    with checked() as fields:
        version, languages, language = check_new_voice(fields, voice)
        for kind, rule in RULES.items():
            fields.require(f"file ({rule.name})", given=not rule.checkpoint or kind in files)
        if not reference and (auxiliary or voice.transcript):
            fields.reject("file (reference audio)", "must come with a transcript or auxiliary audio")
    return VoiceUpload(
        voice_id=voice.voice_id,
        t2s_checkpoint=files[voice_service_pb2.VOICE_FILE_KIND_T2S_CHECKPOINT][0],
        sovits_checkpoint=files[voice_service_pb2.VOICE_FILE_KIND_SOVITS_CHECKPOINT][0],
        prompt=Prompt(reference[0], voice.transcript, language, tuple(auxiliary)) if reference else None,
        version=version,
        languages=languages,
        display_name=voice.display_name,
        description=voice.description,
        licence=voice.licence,
        consent=voice.consent,
        tags=to_tags(fields, "voice.tags", voice.tags),
    )
