"""A new voice as a stream of messages.

Knows nothing of calls. A file is read twice, once for its hash and once while it is sent, so that it need not fit in
memory; if it changes in between, the server refuses what arrives.
"""

import hashlib
import io
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from voxswap.v1 import voice_service_pb2 as messages
from voxswap_client.convert.voices import to_new_voice
from voxswap_client.voices import Content, NewVoice

PIECE_BYTES = 1024 * 1024


@dataclass(frozen=True, slots=True)
class _File:
    header: messages.VoiceFile
    content: Content


class Upload:
    """Everything that CreateVoice sends; each call of `messages` is one whole stream.

    Raises:
        OSError: a file cannot be read.
        ValueError: a name is not one of its enum.
    """

    def __init__(self, voice: NewVoice) -> None:
        self._voice = to_new_voice(voice)
        reference = [voice.reference_audio] if voice.reference_audio is not None else []
        self._files = [
            *_files(messages.VOICE_FILE_KIND_T2S_CHECKPOINT, [voice.t2s_checkpoint]),
            *_files(messages.VOICE_FILE_KIND_SOVITS_CHECKPOINT, [voice.sovits_checkpoint]),
            *_files(messages.VOICE_FILE_KIND_REFERENCE_AUDIO, reference),
            *_files(messages.VOICE_FILE_KIND_AUXILIARY_AUDIO, voice.auxiliary_audio),
        ]

    def messages(self) -> Iterator[messages.CreateVoiceRequest]:
        yield messages.CreateVoiceRequest(voice=self._voice)
        for file in self._files:
            yield messages.CreateVoiceRequest(file=file.header)
            for piece in _pieces(file.content):
                yield messages.CreateVoiceRequest(data=piece)


def _files(kind: messages.VoiceFileKind.ValueType, contents: Iterable[Content]) -> Iterator[_File]:
    for content in contents:
        size_bytes, digest = 0, hashlib.sha256()
        for piece in _pieces(content):
            size_bytes += len(piece)
            digest.update(piece)
        yield _File(messages.VoiceFile(kind=kind, size_bytes=size_bytes, sha256=digest.hexdigest()), content)


def _pieces(content: Content) -> Iterator[bytes]:
    with _opened(content) as file:
        while piece := file.read(PIECE_BYTES):
            yield piece


@contextmanager
def _opened(content: Content) -> Iterator[BinaryIO]:
    with io.BytesIO(content) if isinstance(content, bytes) else Path(content).open("rb") as file:
        yield file
