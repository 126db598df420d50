"""CreateVoice's stream: its order, its caps, what is announced against what comes."""

import errno
import hashlib
import io

import pytest
from hypothesis import given
from hypothesis import strategies as st

from voxswap.v1 import voice_service_pb2
from voxswap.v1.voice_service_pb2 import (
    VOICE_FILE_KIND_AUXILIARY_AUDIO,
    VOICE_FILE_KIND_REFERENCE_AUDIO,
    VOICE_FILE_KIND_SOVITS_CHECKPOINT,
    VOICE_FILE_KIND_T2S_CHECKPOINT,
    CreateVoiceRequest,
    NewVoice,
    VoiceFile,
)
from voxswap_server.domain import Language, LanguageMode
from voxswap_server.errors import CapacityError, InvalidFields, RequestError
from voxswap_server.rpc import uploads
from voxswap_server.rpc.uploads import UploadLimits, receive_upload

LIMITS = UploadLimits(max_checkpoint_bytes=1000, max_audio_bytes=100)


def voice(**fields):
    return CreateVoiceRequest(voice=NewVoice(**({"voice_id": "fresh"} | fields)))


def data(content):
    return CreateVoiceRequest(data=content)


def announced(kind, content, size=None, sha256=""):
    header = VoiceFile(kind=kind, size_bytes=len(content) if size is None else size, sha256=sha256)
    return CreateVoiceRequest(file=header)


def file(kind, content, step=7):
    """A file as a client sends it: announced, then in pieces."""
    return [
        announced(kind, content, sha256=hashlib.sha256(content).hexdigest()),
        *(data(content[at : at + step]) for at in range(0, len(content), step)),
    ]


T2S = file(VOICE_FILE_KIND_T2S_CHECKPOINT, b"t2s weights")
SOVITS = file(VOICE_FILE_KIND_SOVITS_CHECKPOINT, b"sovits weights")
CLIP = file(VOICE_FILE_KIND_REFERENCE_AUDIO, b"a clip")


async def receive(*messages, limits=LIMITS):
    async def stream():
        for message in messages:
            yield message

    return await receive_upload(stream(), limits)


async def test_an_upload_is_joined_from_its_pieces():
    upload = await receive(
        voice(
            display_name="Fresh",
            tags=["x", "x"],
            model_version=voice_service_pb2.MODEL_VERSION_V4,
            language_codes=["en-GB", "zh"],
            transcript="well",
            transcript_language_code="en",
            licence="own",
        ),
        *SOVITS,
        *CLIP,
        *T2S,
        *file(VOICE_FILE_KIND_AUXILIARY_AUDIO, b"more"),
        *file(VOICE_FILE_KIND_AUXILIARY_AUDIO, b"and more"),
    )
    assert (upload.t2s_checkpoint, upload.sovits_checkpoint) == (b"t2s weights", b"sovits weights")
    assert (upload.voice_id, upload.version, upload.languages) == ("fresh", "v4", ("en", "zh"))
    assert (upload.display_name, upload.tags, upload.licence) == ("Fresh", ("x",), "own")
    assert upload.prompt.audio == b"a clip"
    assert (upload.prompt.transcript, upload.prompt.language) == ("well", Language("en", LanguageMode.MIXED))
    assert upload.prompt.auxiliary == (b"more", b"and more")


async def test_a_voice_may_come_without_a_prompt():
    assert (await receive(voice(), *T2S, *SOVITS)).prompt is None


@given(st.binary(min_size=1, max_size=400), st.integers(1, 400))
async def test_pieces_of_any_size_give_the_file(content, step):
    upload = await receive(voice(), *file(VOICE_FILE_KIND_T2S_CHECKPOINT, content, step), *SOVITS)
    assert upload.t2s_checkpoint == content


async def test_what_goes_to_disk_comes_back(monkeypatch):
    monkeypatch.setattr(uploads, "SPOOL_BYTES", 8)
    upload = await receive(voice(), *file(VOICE_FILE_KIND_T2S_CHECKPOINT, bytes(range(256)) * 3), *SOVITS)
    assert upload.t2s_checkpoint == bytes(range(256)) * 3


async def test_a_full_disk_is_told_as_such(monkeypatch):
    class Full(io.BytesIO):
        def write(self, data):
            raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(uploads.tempfile, "SpooledTemporaryFile", lambda max_size: Full())
    with pytest.raises(CapacityError, match="the disk of the server is full"):
        await receive(voice(), *T2S, *SOVITS)


@pytest.mark.parametrize(
    ("messages", "told"),
    [
        ([], "ended before its first message"),
        ([*T2S], "the first message must be `voice`"),
        ([CreateVoiceRequest()], "got `nothing`"),
        ([voice(), voice()], "only the first; got `voice`"),
        ([voice(), data(b"x")], "must follow a `file`"),
        ([voice(), CreateVoiceRequest()], "must follow a `file`"),
        ([voice(), announced(VOICE_FILE_KIND_T2S_CHECKPOINT, b"1234"), data(b"12345")], "longer than the 4 bytes"),
        ([voice(), announced(VOICE_FILE_KIND_T2S_CHECKPOINT, b"1234"), data(b"123")], "ended after 3 of the 4 bytes"),
        (
            [voice(), announced(VOICE_FILE_KIND_T2S_CHECKPOINT, b"1234"), *SOVITS],
            "ended after 0 of the 4 bytes",
        ),
        (
            [voice(), announced(VOICE_FILE_KIND_T2S_CHECKPOINT, b"1234", sha256="0" * 64), data(b"1234")],
            "arrived with sha256 03ac",
        ),
    ],
)
async def test_a_stream_out_of_order_is_refused(messages, told):
    with pytest.raises(RequestError, match=told):
        await receive(*messages)


@pytest.mark.parametrize(
    ("messages", "field"),
    [
        ([voice(voice_id="Not An Id")], "voice.voice_id"),
        ([voice(model_version=99)], "voice.model_version"),
        ([voice(language_codes=["en", "tlh"])], "voice.language_codes[1]"),
        ([voice(transcript_language_mode=99)], "voice.transcript_language_mode"),
        ([voice(tags=[""])], "voice.tags[0]"),
        ([voice(licence="l" * 4001)], "voice.licence"),
        ([voice(), announced(0, b"x")], "file.kind"),
        ([voice(), announced(99, b"x")], "file.kind"),
        ([voice(), announced(VOICE_FILE_KIND_T2S_CHECKPOINT, b"")], "file.size_bytes"),
        ([voice(), announced(VOICE_FILE_KIND_T2S_CHECKPOINT, b"", size=1001)], "file.size_bytes"),
        ([voice(), announced(VOICE_FILE_KIND_REFERENCE_AUDIO, b"", size=101)], "file.size_bytes"),
        ([voice(), *T2S, *T2S], "file.kind"),
        ([voice(), *file(VOICE_FILE_KIND_AUXILIARY_AUDIO, b"x") * 9], "file.kind"),
        ([voice(), *T2S], "file (SoVITS checkpoint)"),
        ([voice(), *SOVITS], "file (T2S checkpoint)"),
        ([voice(transcript="of what?"), *T2S, *SOVITS], "file (reference audio)"),
        (
            [voice(), *T2S, *SOVITS, *file(VOICE_FILE_KIND_AUXILIARY_AUDIO, b"x")],
            "file (reference audio)",
        ),
    ],
)
async def test_what_breaks_a_rule_is_named(messages, field):
    with pytest.raises(InvalidFields) as caught:
        await receive(*messages)
    assert [name for name, _ in caught.value.violations] == [field]


async def test_a_file_that_is_too_long_is_refused_before_it_is_sent():
    sent = []

    async def stream():
        for message in [voice(), announced(VOICE_FILE_KIND_T2S_CHECKPOINT, b"", size=10**12), data(b"x" * 10)]:
            sent.append(message.WhichOneof("message"))
            yield message

    with pytest.raises(InvalidFields, match=r"1e\+12 is not within 1 to 1000"):
        await receive_upload(stream(), LIMITS)
    assert sent == ["voice", "file"]
