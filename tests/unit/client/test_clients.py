"""Both clients over written-down answers: what they send, when they try again, what they raise."""

import grpc
import pytest
from grpc_health.v1 import health_pb2

from tests.fixtures.fake_stubs import Refused, connection_lost, queue_full
from voxswap.v1 import audio_pb2, model_admin_service_pb2, speech_service_pb2, synthesis_pb2, voice_service_pb2
from voxswap_client import (
    AudioChunk,
    CancelUtterance,
    DeadlineExceeded,
    Flush,
    NewVoice,
    NotBuilt,
    Overloaded,
    Playhead,
    ServerError,
    SpeechOptions,
    StreamStarted,
    SwitchPoint,
    SwitchVoice,
    SynthesisDone,
    Text,
    Unavailable,
    UtteranceCancelled,
    VoiceChanges,
)

STARTED = synthesis_pb2.StreamStarted(
    request_id="r", audio_encoding=audio_pb2.AUDIO_ENCODING_PCM_S16, sample_rate_hertz=32000, channels=1,
    voice_id="narrator", cache_state=synthesis_pb2.CACHE_STATE_DISK, load_ms=12, seed=7,
)  # fmt: skip
DONE = synthesis_pb2.SynthesisDone(samples=4, rtf=0.5)


def said(**event):
    return speech_service_pb2.SynthesizeStreamResponse(**event)


def chunk(start, data):
    return said(
        audio_chunk=synthesis_pb2.AudioChunk(audio_content=data, start_sample=start, samples=2, sequence=start // 2)
    )


BEGIN, END = said(started=STARTED), said(done=DONE)


def kinds(events):
    return [type(event) for event in events]


def test_a_stream_arrives_typed_and_in_order(rig):
    warning = said(warning=synthesis_pb2.Warning(code="ASSET_MISSING", message="no BERT"))
    rig.answers("SynthesizeStream", [BEGIN, warning, chunk(0, b"ab"), said(), chunk(2, b"cd"), END])
    started, notice, first, second, done = rig.run(rig.client.stream("Hello", "narrator"))
    assert isinstance(started, StreamStarted)
    assert (started.cache_state, started.sample_rate_hz, started.encoding, started.seed) == (
        "disk",
        32000,
        "pcm_s16",
        7,
    )
    assert (notice.code, notice.message) == ("ASSET_MISSING", "no BERT")
    assert [first, second] == [AudioChunk(b"ab", 0, 2, 0), AudioChunk(b"cd", 2, 2, 1)]
    assert isinstance(done, SynthesisDone)
    assert (done.samples, done.rtf) == (4, 0.5)
    [(method, message, timeout, metadata)] = rig.stub.sent
    assert (method, message.text, message.config.voice_id, timeout) == ("SynthesizeStream", "Hello", "narrator", None)
    assert metadata["authorization"] == "secret"
    assert metadata["x-voice-id"] == "narrator"
    assert len(metadata["x-request-id"]) == 32
    assert rig.stub.calls[0].cancelled


def test_a_stream_is_begun_again_until_it_is_heard(rig):
    rig.answers("SynthesizeStream", [queue_full(0.5)], [BEGIN, connection_lost()], [BEGIN, chunk(0, b"ab"), END])
    assert kinds(rig.run(rig.client.stream("Hello", "narrator"))) == [StreamStarted, AudioChunk, SynthesisDone]
    assert rig.time.slept == [0.5, 0.2]
    assert len({sent[3]["x-request-id"] for sent in rig.stub.sent}) == 1
    assert all(call.cancelled for call in rig.stub.calls)


def test_what_was_heard_is_never_said_twice(rig):
    rig.answers("SynthesizeStream", [BEGIN, chunk(0, b"ab"), connection_lost()])
    heard = []

    def sync():
        for event in rig.client.stream("Hello", "narrator"):
            heard.append(event)  # noqa: PERF402 - what came before the error is the point

    async def asynchronous():
        async for event in rig.client.stream("Hello", "narrator"):
            heard.append(event)  # noqa: PERF401 - what came before the error is the point

    with pytest.raises(Unavailable):
        rig.run(asynchronous() if "Async" in type(rig.client).__name__ else sync())
    assert kinds(heard) == [StreamStarted, AudioChunk]
    assert len(rig.stub.sent) == 1
    assert rig.time.slept == []


def test_tries_end(rig):
    rig.answers("SynthesizeStream", *[[connection_lost()] for _ in range(9)])
    with pytest.raises(Unavailable):
        rig.run(rig.client.stream("Hello", "narrator"))
    assert len(rig.stub.sent) == 3


def test_a_stream_without_audio_is_still_told(rig):
    rig.answers("SynthesizeStream", [BEGIN, END])
    assert kinds(rig.run(rig.client.stream("...", "narrator"))) == [StreamStarted, SynthesisDone]


def test_one_deadline_holds_for_all_tries(rig):
    rig.stub.takes_s = 1.0
    rig.answers("GetVoice", queue_full(2.0), queue_full(2.0), voice_service_pb2.GetVoiceResponse())
    with pytest.raises(Overloaded):
        rig.run(rig.client.get_voice("narrator", timeout_s=5.5))
    assert [sent[2] for sent in rig.stub.sent] == [5.5, 2.5]
    assert rig.time.slept == [2.0]


def test_the_clients_own_deadline_is_for_calls_with_one_answer(rig):
    rig.answers("GetVoice", voice_service_pb2.GetVoiceResponse())
    rig.run(rig.client.get_voice("narrator"))
    assert rig.stub.sent[0][2] == 60.0


def test_the_request_id_is_the_callers_if_it_has_one(rig):
    rig.answers("Synthesize", Refused(grpc.StatusCode.INTERNAL))
    with pytest.raises(ServerError) as caught:
        rig.run(rig.client.synthesize("Hello", "narrator", request_id="mine"))
    assert rig.stub.sent[0][3]["x-request-id"] == "mine"
    assert caught.value.request_id == "mine"
    assert isinstance(caught.value.__cause__, grpc.RpcError)


def test_a_unary_answer_is_one_value(rig):
    rig.answers(
        "Synthesize",
        speech_service_pb2.SynthesizeResponse(
            audio_content=b"RIFF", started=STARTED, done=DONE, warnings=[synthesis_pb2.Warning(code="X")]
        ),
    )
    speech = rig.run(rig.client.synthesize("Hello", "narrator"))
    assert (speech.audio, speech.started.voice_id, speech.done.samples) == (b"RIFF", "narrator", 4)
    assert [notice.code for notice in speech.notices] == ["X"]


def test_pages_of_voices_are_joined(rig):
    def page(token, *ids):
        voices = [voice_service_pb2.Voice(voice_id=voice_id) for voice_id in ids]
        return voice_service_pb2.ListVoicesResponse(voices=voices, next_page_token=token)

    rig.answers("ListVoices", page("b", "a", "b"), page("", "c"))
    assert [voice.voice_id for voice in rig.run(rig.client.list_voices("en"))] == ["a", "b", "c"]
    assert [sent[1].page_token for sent in rig.stub.sent] == ["", "b"]
    assert {sent[1].language_code for sent in rig.stub.sent} == {"en"}


def test_an_upload_that_may_have_arrived_is_not_repeated_but_a_refused_one_is(rig):
    voice = NewVoice("nova", b"t2s", b"sovits", reference_audio=b"clip", transcript="Hi.", version="v2Pro")
    rig.answers("CreateVoice", queue_full(1.0), connection_lost())
    with pytest.raises(Unavailable):
        rig.run(rig.client.create_voice(voice))
    first, second = (sent[1] for sent in rig.stub.sent)
    assert first == second
    assert [message.WhichOneof("message") for message in first] == ["voice"] + ["file", "data"] * 3
    assert first[0].voice.model_version == voice_service_pb2.MODEL_VERSION_V2_PRO
    assert [message.data for message in first if message.data] == [b"t2s", b"sovits", b"clip"]
    assert rig.time.slept == [1.0]
    assert rig.stub.sent[0][2] is None


@pytest.mark.parametrize("method", ["delete_voice", "unload_voice"])
def test_what_cannot_be_done_twice_is_not_repeated_blindly(rig, method):
    rpc = {"delete_voice": "DeleteVoice", "unload_voice": "UnloadVoice"}[method]
    rig.answers(rpc, connection_lost())
    with pytest.raises(Unavailable):
        rig.run(getattr(rig.client, method)("narrator"))
    assert len(rig.stub.sent) == 1


def test_an_update_sends_only_what_is_set(rig):
    rig.answers("UpdateVoice", voice_service_pb2.UpdateVoiceResponse())
    rig.run(rig.client.update_voice("narrator", VoiceChanges(display_name="", tags=())))
    message = rig.stub.sent[0][1]
    assert message.HasField("display_name")
    assert message.HasField("tags")
    assert not message.HasField("description")
    assert not message.HasField("prompt")
    assert not message.HasField("sampling_config")


def test_a_service_that_health_does_not_know(rig):
    rig.answers("Check", Refused(grpc.StatusCode.NOT_FOUND), health_pb2.HealthCheckResponse(status=1))
    health = rig.run(rig.client.voice_health("narrator"))
    assert (health.service, health.status, health.serving) == (
        "voxswap.v1.SpeechService/voice/narrator", "service_unknown", False,
    )  # fmt: skip
    assert rig.run(rig.client.health()).serving


def test_a_value_of_a_newer_server_does_no_harm(rig):
    rig.answers(
        "ListResidents",
        model_admin_service_pb2.ListResidentsResponse(residents=[model_admin_service_pb2.Resident(state=77)]),
    )
    assert rig.run(rig.client.list_residents())[0].state == "77"


def test_a_name_that_is_not_one_is_refused_before_anything_is_sent(rig):
    with pytest.raises(ValueError, match="AudioEncoding has no 'ac3'; choices: pcm_s16, pcm_f32, wav"):
        rig.run(rig.client.synthesize("Hello", "narrator", SpeechOptions(encoding="ac3")))
    with pytest.raises(ValueError, match="no model version 'v9'; choices: v1, v2, v2Pro"):
        rig.run(rig.client.create_voice(NewVoice("x", b"", b"", version="v9")))
    assert rig.stub.sent == []


LIVE = [Text("Hel"), Text("lo."), Flush(), SwitchVoice("slate", SwitchPoint.NOW, 20), Playhead(5), CancelUtterance()]


class Broken(Exception):
    """Of the source of a live stream."""


def live(rig, inputs, *, broken=False):
    """Feeds a live stream the way that the client wants it, and reads what was sent."""

    def given():
        yield from inputs
        if broken:
            raise Broken

    async def given_async():
        for one in given():
            yield one

    async def asynchronous():
        events = []
        stream = rig.client.live_events(given_async(), "narrator")
        try:
            async for event in stream:
                events.append(event)
                if not isinstance(rig.stub.sent[0][1], list):
                    rig.stub.sent[0][1] = [message async for message in rig.stub.sent[0][1]]
        finally:
            rig.events = events

    def sync():
        rig.events = []
        for event in rig.client.live_events(given(), "narrator"):
            rig.events.append(event)

    rig.run(asynchronous() if "Async" in type(rig.client).__name__ else sync())


def test_a_live_stream_sends_each_input_and_reads_each_event(rig):
    cancelled = speech_service_pb2.UtteranceCancelled(
        heard_text="Hel", unheard_text="lo.", heard_sample=5, next_sample=9
    )
    response = speech_service_pb2.StreamingSynthesizeResponse
    rig.answers(
        "StreamingSynthesize",
        [response(started=STARTED), response(), response(utterance_cancelled=cancelled), response(done=DONE)],
    )
    live(rig, LIVE)
    assert kinds(rig.events) == [StreamStarted, UtteranceCancelled, SynthesisDone]
    assert rig.events[1] == UtteranceCancelled("Hel", "lo.", 5, 9)
    sent = rig.stub.sent[0][1]
    assert [message.WhichOneof("message") for message in sent] == [
        "config", "text", "text", "flush", "switch_voice", "playhead", "cancel_utterance",
    ]  # fmt: skip
    assert sent[0].config.speech_config.voice_id == "narrator"
    assert (sent[4].switch_voice.at, sent[4].switch_voice.crossfade_ms) == (speech_service_pb2.SWITCH_POINT_NOW, 20)


def test_a_live_stream_whose_source_fails_says_so(rig):
    response = speech_service_pb2.StreamingSynthesizeResponse
    rig.answers("StreamingSynthesize", [response(started=STARTED), response(done=DONE)])
    with pytest.raises(Broken):
        live(rig, LIVE[:1], broken=True)
    assert kinds(rig.events) == [StreamStarted, SynthesisDone]


def test_live_is_never_tried_again(rig):
    rig.answers("StreamingSynthesize", [Refused(grpc.StatusCode.UNIMPLEMENTED, reason="NOT_BUILT")])
    with pytest.raises(NotBuilt):
        live(rig, LIVE)
    assert len(rig.stub.sent) == 1


def test_a_deadline_is_an_error_of_its_own(rig):
    rig.answers("Synthesize", Refused(grpc.StatusCode.DEADLINE_EXCEEDED))
    with pytest.raises(DeadlineExceeded):
        rig.run(rig.client.synthesize("Hello", "narrator", timeout_s=1.0))
