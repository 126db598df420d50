"""Live streams over a real connection."""

import grpc
import pytest

from voxswap.v1 import audio_pb2, speech_service_pb2, synthesis_pb2
from voxswap_server.domain import TimestampKind
from voxswap_server.domain_live import (
    CancelUtterance,
    Flush,
    LiveText,
    Playhead,
    SetSpeakingRate,
    SwitchPoint,
    SwitchVoice,
)

Request = speech_service_pb2.StreamingSynthesizeRequest


def config(max_ahead_ms=None, **speech):
    given = synthesis_pb2.SpeechConfig(**({"voice_id": "narrator"} | speech))
    return Request(config=speech_service_pb2.LiveConfig(speech_config=given, max_ahead_ms=max_ahead_ms))


def text(words):
    return Request(text=speech_service_pb2.TextInput(text=words))


def switch(voice_id, **changes):
    return Request(switch_voice=speech_service_pb2.SwitchVoice(voice_id=voice_id, **changes))


async def spoken(rig, *requests):
    return [response async for response in rig.speech.StreamingSynthesize(iter(requests))]


def kinds(responses):
    return [response.WhichOneof("event") for response in responses]


async def test_a_stream_starts_speaks_and_ends(rig):
    responses = await spoken(rig, config(), text("three small "), text("words"))
    assert kinds(responses) == ["started", "audio_chunk", "audio_chunk", "audio_chunk", "done"]
    started, done = responses[0].started, responses[-1].done
    assert (started.voice_id, started.sample_rate_hertz) == ("narrator", 32000)
    chunks = [response.audio_chunk for response in responses[1:-1]]
    assert [chunk.sequence for chunk in chunks] == [0, 1, 2]
    assert [chunk.start_sample for chunk in chunks] == [0, 5 * 3200, 10 * 3200]
    assert done.samples == 15 * 3200
    assert rig.live.released == 1


async def test_every_message_reaches_the_engine_as_it_was_meant(rig):
    point = speech_service_pb2
    await spoken(
        rig,
        config(max_ahead_ms=1500, timestamp_types=[synthesis_pb2.TIMESTAMP_TYPE_WORD]),
        Request(playhead=speech_service_pb2.Playhead(sample=12345)),
        switch("slate", at=point.SWITCH_POINT_NOW, crossfade_ms=40),
        switch("slate"),
        text("word"),
        Request(flush=speech_service_pb2.Flush()),
        Request(set_speaking_rate=speech_service_pb2.SetSpeakingRate(speaking_rate=1.5)),
        Request(cancel_utterance=speech_service_pb2.CancelUtterance()),
    )
    assert rig.live.heard == [
        Playhead(12345),
        SwitchVoice("slate", SwitchPoint.NOW, 40),
        SwitchVoice("slate", SwitchPoint.NEXT_SENTENCE, 0),
        LiveText("word"),
        Flush(),
        SetSpeakingRate(1.5),
        CancelUtterance(),
    ]
    (asked,) = rig.live.configs
    assert asked.max_ahead_s == 1.5
    assert asked.speech.text == ""
    assert asked.speech.timestamps == {TimestampKind.WORD}


async def test_the_answers_to_switch_and_barge_in(rig):
    stop = Request(cancel_utterance=speech_service_pb2.CancelUtterance())
    responses = await spoken(rig, config(max_ahead_ms=100), switch("slate"), switch("nobody"), text("one two"), stop)
    changed = next(response.voice_changed for response in responses if response.HasField("voice_changed"))
    assert (changed.voice_id, changed.start_sample, changed.cache_state) == (
        "slate",
        0,
        synthesis_pb2.CACHE_STATE_DEVICE,
    )
    warning = next(response.warning for response in responses if response.HasField("warning"))
    assert (warning.code, "'nobody'" in warning.message) == ("VOICE_NOT_FOUND", True)
    cancelled = next(response.utterance_cancelled for response in responses if response.HasField("utterance_cancelled"))
    assert cancelled.unheard_text in {"one two", "two", ""}
    assert cancelled.next_sample == responses[-1].done.samples


@pytest.mark.parametrize(
    ("requests", "field", "told"),
    [
        ([], "config", "not nothing"),
        ([text("hello")], "config", "not text"),
        ([Request()], "config", "not nothing"),
        ([config(), config()], "config", "choices: text, flush"),
        ([config(), Request()], "message", "empty"),
        ([config(voice_id="No Such")], "config.voice_id", "No Such"),
        ([config(max_ahead_ms=5)], "config.max_ahead_ms", "100"),
        ([config(audio_config=audio_pb2.AudioConfig(speaking_rate=9))], "config.audio_config.speaking_rate", "9"),
        ([config(), switch("")], "switch_voice.voice_id", "set"),
        ([config(), switch("slate", at=9)], "switch_voice.at", "SWITCH_POINT_NOW"),
        ([config(), switch("slate", crossfade_ms=2000)], "switch_voice.crossfade_ms", "2000"),
        (
            [config(), Request(set_speaking_rate=speech_service_pb2.SetSpeakingRate(speaking_rate=0.1))],
            "set_speaking_rate.speaking_rate",
            "0.1",
        ),
    ],
)
async def test_what_is_wrong_is_told_by_its_field(rig, refused, requests, field, told):
    refusal = await refused(rig.speech.StreamingSynthesize(iter(requests)))
    assert refusal.code == grpc.StatusCode.INVALID_ARGUMENT
    (violation,) = refusal.details["BadRequest"].field_violations
    assert violation.field == field
    assert told in refusal.message
    await rig.live.until(lambda: rig.live.released == len(rig.live.configs))


async def test_an_unknown_voice_is_not_found(rig, refused):
    refusal = await refused(rig.speech.StreamingSynthesize(iter([config(voice_id="nobody"), text("hello")])))
    assert refusal.code == grpc.StatusCode.NOT_FOUND


async def test_cancelling_releases_the_stream(rig):
    call = rig.speech.StreamingSynthesize()
    await call.write(config())
    assert (await call.read()).HasField("started")
    call.cancel()
    await rig.live.until(lambda: rig.live.released == 1)
    assert rig.count("SpeechService/StreamingSynthesize", "OK") == 0


async def test_a_client_half_closes_and_hears_the_rest(rig):
    call = rig.speech.StreamingSynthesize()
    await call.write(config())
    await call.write(text("one two"))
    await call.done_writing()
    assert kinds([response async for response in call]) == ["started", "audio_chunk", "audio_chunk", "done"]
