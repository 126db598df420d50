"""VoiceService over a real connection."""

import asyncio

import grpc
import pytest

from tests.fixtures.fake_engine import voice_info
from voxswap.v1 import synthesis_pb2
from voxswap.v1 import voice_service_pb2 as messages
from voxswap_server.errors import VoiceUnusable
from voxswap_server.rpc.uploads import UploadLimits


async def upload(*files, voice_id="fresh", pause=None):
    yield messages.CreateVoiceRequest(voice=messages.NewVoice(voice_id=voice_id, tags=["new"]))
    for kind, content in files:
        yield messages.CreateVoiceRequest(file=messages.VoiceFile(kind=kind, size_bytes=len(content)))
        for at in range(0, len(content), 65536):
            yield messages.CreateVoiceRequest(data=content[at : at + 65536])
    if pause is not None:
        await pause.wait()


CHECKPOINTS = (
    (messages.VOICE_FILE_KIND_T2S_CHECKPOINT, b"t" * 3_000_000),
    (messages.VOICE_FILE_KIND_SOVITS_CHECKPOINT, b"s" * 2_500_000),
)


async def test_voices_are_listed_in_pages(rig):
    rig.library.voices |= {f"v{index}": voice_info(f"v{index}") for index in range(3)}
    first = await rig.voices.ListVoices(messages.ListVoicesRequest(page_size=3))
    assert [voice.voice_id for voice in first.voices] == ["narrator", "slate", "v0"]
    rest = await rig.voices.ListVoices(messages.ListVoicesRequest(page_token=first.next_page_token))
    assert [voice.voice_id for voice in rest.voices] == ["v1", "v2"]
    assert rest.next_page_token == ""


async def test_a_voice_is_got_or_missed_with_a_hint(rig, refused):
    got = await rig.voices.GetVoice(messages.GetVoiceRequest(voice_id="narrator"))
    assert got.voice.state == messages.VOICE_STATE_COLD
    told = await refused(rig.voices.GetVoice(messages.GetVoiceRequest(voice_id="naratr")))
    assert told.code == grpc.StatusCode.NOT_FOUND
    assert "did you mean narrator?" in told.message
    assert told.details["ResourceInfo"].resource_name == "naratr"


async def test_a_voice_is_created_from_a_stream(rig):
    created = await rig.voices.CreateVoice(upload(*CHECKPOINTS))
    assert (created.voice.voice_id, list(created.voice.tags)) == ("fresh", ["new"])
    assert created.voice.bytes_total == 5_500_000
    (received,) = rig.library.uploads
    assert received.t2s_checkpoint == CHECKPOINTS[0][1]
    assert received.sovits_checkpoint == CHECKPOINTS[1][1]


async def test_an_id_that_is_taken_is_told(rig, refused):
    told = await refused(rig.voices.CreateVoice(upload(*CHECKPOINTS, voice_id="slate")))
    assert told.code == grpc.StatusCode.ALREADY_EXISTS
    assert told.details["ResourceInfo"].resource_name == "slate"


async def test_an_upload_above_the_cap_is_refused_at_once(start, refused):
    async with start(uploads=UploadLimits(max_checkpoint_bytes=2_000_000)) as rig:
        never = asyncio.Event()

        async def announcing():
            yield messages.CreateVoiceRequest(voice=messages.NewVoice(voice_id="fresh"))
            kind = messages.VOICE_FILE_KIND_T2S_CHECKPOINT
            yield messages.CreateVoiceRequest(file=messages.VoiceFile(kind=kind, size_bytes=2_000_001))
            await never.wait()  # the answer comes although the stream has not ended

        told = await refused(rig.voices.CreateVoice(announcing()))
        assert told.code == grpc.StatusCode.INVALID_ARGUMENT
        assert told.details["BadRequest"].field_violations[0].field == "file.size_bytes"
        assert rig.library.uploads == []


async def test_a_message_above_the_cap_of_the_transport_is_refused(rig, refused):
    async def one():
        yield messages.CreateVoiceRequest(data=b"x" * (4 * 1024**2 + 1))

    told = await refused(rig.voices.CreateVoice(one()))
    assert told.code == grpc.StatusCode.RESOURCE_EXHAUSTED
    assert rig.library.uploads == []


async def test_only_so_many_uploads_at_once(start, refused):
    async with start(max_uploads=1) as rig:
        go, underway = asyncio.Event(), asyncio.Event()

        async def slow():
            async for message in upload(*CHECKPOINTS, pause=go):
                yield message
                underway.set()

        first = rig.voices.CreateVoice(slow())
        await underway.wait()
        while (await _attempt(rig)) != grpc.StatusCode.RESOURCE_EXHAUSTED:
            pass  # the first one may not have arrived yet
        # Without files: grpc.aio forgets the details of an answer that comes while it still sends (grpc/grpc#36066).
        told = await refused(rig.voices.CreateVoice(upload(voice_id="second")))
        assert told.details["RetryInfo"].retry_delay.ToMilliseconds() == 5000
        go.set()
        await first
        await rig.voices.CreateVoice(upload(*CHECKPOINTS, voice_id="second"))


async def _attempt(rig):
    try:
        await rig.voices.CreateVoice(upload())
    except grpc.aio.AioRpcError as error:
        return error.code()


async def test_a_cancelled_upload_gives_its_slot_back(start):
    async with start(max_uploads=1) as rig:
        sending = asyncio.Event()

        async def endless():
            async for message in upload(*CHECKPOINTS, pause=asyncio.Event()):
                yield message
                sending.set()

        call = rig.voices.CreateVoice(endless())
        await sending.wait()
        call.cancel()
        while (await _attempt(rig)) == grpc.StatusCode.RESOURCE_EXHAUSTED:
            pass
        await rig.voices.CreateVoice(upload(*CHECKPOINTS))


async def test_a_voice_is_updated_and_deleted(rig, refused):
    request = messages.UpdateVoiceRequest(
        voice_id="slate",
        display_name="Slate",
        prompt=synthesis_pb2.Prompt(reference_audio=b"clip", transcript="well"),
        sampling_config=synthesis_pb2.SamplingConfig(top_k=3),
    )
    updated = await rig.voices.UpdateVoice(request)
    assert (updated.voice.display_name, updated.voice.revision) == ("Slate", "r2")
    (changes,) = rig.library.changes
    assert (changes.prompt.audio, changes.sampling.top_k, changes.licence) == (b"clip", 3, None)
    await rig.voices.DeleteVoice(messages.DeleteVoiceRequest(voice_id="slate"))
    told = await refused(rig.voices.DeleteVoice(messages.DeleteVoiceRequest(voice_id="slate")))
    assert told.code == grpc.StatusCode.NOT_FOUND


async def test_a_broken_voice_is_a_failed_precondition(rig, refused):
    rig.library.failure = VoiceUnusable("narrator", "its decoder is truncated")
    told = await refused(rig.voices.GetVoice(messages.GetVoiceRequest(voice_id="narrator")))
    assert told.code == grpc.StatusCode.FAILED_PRECONDITION
    assert told.details["PreconditionFailure"].violations[0].subject == "narrator"


async def test_speakers_are_embedded_compared_and_found(rig):
    rig.embedder.voices = {"narrator": b"clip one", "slate": b"clip two"}
    embedded = await rig.voices.EmbedSpeaker(messages.EmbedSpeakerRequest(audio_content=b"clip one"))
    assert len(embedded.embedding) == 192
    assert sum(value**2 for value in embedded.embedding) == pytest.approx(1, abs=1e-5)
    same = messages.CompareSpeakersRequest(first_audio_content=b"clip one", second_audio_content=b"clip one")
    assert (await rig.voices.CompareSpeakers(same)).similarity == pytest.approx(1)
    found = await rig.voices.FindVoices(messages.FindVoicesRequest(audio_content=b"clip two", limit=1))
    assert [match.voice_id for match in found.matches] == ["slate"]


@pytest.mark.parametrize("method", ["EmbedSpeaker", "FindVoices"])
async def test_a_clip_must_be_sent_and_readable(rig, refused, method):
    request = getattr(messages, f"{method}Request")
    empty = await refused(getattr(rig.voices, method)(request()))
    assert empty.details["BadRequest"].field_violations[0].field == "audio_content"
    if method == "EmbedSpeaker":
        odd = await refused(rig.voices.EmbedSpeaker(request(audio_content=b"x")))
        assert odd.details["ErrorInfo"].reason == "BAD_REFERENCE_AUDIO"


async def test_without_the_encoder_the_remedy_is_told(rig, refused):
    rig.embedder.installed = False
    told = await refused(rig.voices.EmbedSpeaker(messages.EmbedSpeakerRequest(audio_content=b"clip")))
    assert told.code == grpc.StatusCode.FAILED_PRECONDITION
    assert "fetch it" in told.message
    assert told.details["ErrorInfo"].reason == "ASSET_MISSING"
