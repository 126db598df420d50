"""SpeechService over a real connection."""

import asyncio
import io

import grpc
import numpy as np
import pytest
import soundfile
from grpc import aio

from voxswap.v1 import audio_pb2, speech_service_pb2, synthesis_pb2, text_pb2
from voxswap_server.domain import Language, LanguageMode, Notice, Timestamp, TimestampKind, Timestamps
from voxswap_server.errors import RequestError

TEXT = "three small words"
SAMPLES = 15 * 3200
"""Of TEXT: a tenth of a second a letter."""


def request(text=TEXT, kind=speech_service_pb2.SynthesizeStreamRequest, **config):
    return kind(text=text, config=synthesis_pb2.SpeechConfig(**({"voice_id": "narrator"} | config)))


def unary(text=TEXT, **config):
    return request(text, speech_service_pb2.SynthesizeRequest, **config)


async def test_a_stream_starts_speaks_and_ends(rig):
    rig.synthesizer.notices = (Notice("ASSET_MISSING", "no BERT"),)
    responses = [response async for response in rig.speech.SynthesizeStream(request())]
    kinds = [response.WhichOneof("event") for response in responses]
    assert kinds == ["started", "warning", "audio_chunk", "audio_chunk", "audio_chunk", "done"]
    started, done = responses[0].started, responses[-1].done
    assert (started.voice_id, started.sample_rate_hertz, started.channels, started.seed) == ("narrator", 32000, 1, 7)
    assert started.audio_encoding == audio_pb2.AUDIO_ENCODING_PCM_S16
    assert started.cache_state == synthesis_pb2.CACHE_STATE_DEVICE
    assert (responses[1].warning.code, responses[1].warning.message) == ("ASSET_MISSING", "no BERT")
    chunks = [response.audio_chunk for response in responses[2:5]]
    assert [chunk.sequence for chunk in chunks] == [0, 1, 2]
    assert [chunk.start_sample for chunk in chunks] == [0, 5 * 3200, 10 * 3200]
    assert [len(chunk.audio_content) for chunk in chunks] == [2 * chunk.samples for chunk in chunks]
    assert (done.samples, done.utterances, done.semantic_tokens) == (SAMPLES, 1, 37)


async def test_a_unary_answer_is_the_joined_stream(rig):
    rig.synthesizer.notices = (Notice("ASSET_MISSING", "no BERT"),)
    answer = await rig.speech.Synthesize(unary())
    streamed = [response async for response in rig.speech.SynthesizeStream(request())]
    assert answer.audio_content == b"".join(response.audio_chunk.audio_content for response in streamed)
    assert answer.started.voice_id == "narrator"
    assert answer.done.samples == SAMPLES
    assert [warning.code for warning in answer.warnings] == ["ASSET_MISSING"]
    assert [asked.unary for asked in rig.synthesizer.requests] == [True, False]


async def test_a_unary_answer_fits_one_message_with_all_that_is_in_it(rig):
    words = Timestamps(tuple(Timestamp(TimestampKind.WORD, "w" * 100, 0, 1) for _ in range(50_000)))
    rig.synthesizer.notices = (words,)  # told at the same place
    with pytest.raises(aio.AioRpcError) as refusal:
        await rig.speech.Synthesize(unary())
    assert refusal.value.code() is grpc.StatusCode.INVALID_ARGUMENT
    assert "with its timestamps" in refusal.value.details()


async def test_a_wav_answer_is_a_wav_file(rig):
    config = {"audio_config": audio_pb2.AudioConfig(audio_encoding=audio_pb2.AUDIO_ENCODING_WAV)}
    answer = await rig.speech.Synthesize(unary(**config))
    samples, rate_hz = soundfile.read(io.BytesIO(answer.audio_content))
    assert (samples.shape, rate_hz) == ((SAMPLES,), 32000)
    assert np.abs(samples).max() > 0.4


async def test_everything_that_is_asked_reaches_the_engine(rig):
    await rig.speech.Synthesize(
        unary(
            language_code="en-GB",
            language_mode=text_pb2.LANGUAGE_MODE_ALL,
            audio_config=audio_pb2.AudioConfig(sample_rate_hertz=16000, speaking_rate=2.0, volume_gain_db=-3.0),
            sampling_config=synthesis_pb2.SamplingConfig(
                top_k=5, top_p=0.9, temperature=0.8, repetition_penalty=1.2, seed=2**64 - 1
            ),
            prompt=synthesis_pb2.Prompt(
                reference_audio=b"clip", transcript="well", language_code="ja", auxiliary_audio=[b"a", b"b"]
            ),
            cut_method=text_pb2.CUT_METHOD_PUNCTUATION,
            pause_ms=250,
            sample_steps=8,
        )
    )
    (asked,) = rig.synthesizer.requests
    assert (asked.voice_id, asked.text) == ("narrator", TEXT)
    assert asked.language == Language("en-GB", LanguageMode.ALL)
    assert (asked.audio.sample_rate_hz, asked.speaking_rate, asked.audio.volume_gain_db) == (16000, 2.0, -3.0)
    sampling = asked.sampling
    assert (sampling.top_k, sampling.top_p, sampling.temperature) == (5, 0.9, 0.8)
    assert (sampling.repetition_penalty, sampling.seed) == (1.2, 2**64 - 1)
    assert (asked.prompt.audio, asked.prompt.transcript, asked.prompt.auxiliary) == (b"clip", "well", (b"a", b"b"))
    assert asked.prompt.language == Language("ja", LanguageMode.MIXED)
    assert (asked.cut_method, asked.pause_s, asked.sample_steps) == ("punctuation", 0.25, 8)
    assert asked.deadline_s is None


async def test_initial_metadata_tells_id_and_cache_state_before_the_audio(rig):
    rig.synthesizer.cold.add("narrator")
    rig.synthesizer.stalls.add(0)
    call = rig.speech.SynthesizeStream(request(), metadata=(("x-request-id", "mine-1"),))
    metadata = dict(await call.initial_metadata())
    assert (metadata["x-request-id"], metadata["x-cache-state"]) == ("mine-1", "disk")
    rig.synthesizer.go.set()
    responses = [response async for response in call]
    assert responses[0].started.request_id == "mine-1"
    assert responses[0].started.load_ms == 12.5


@pytest.mark.parametrize("bad", ["", "two words", "x" * 129])
async def test_a_request_id_is_made_where_none_is_usable(rig, bad):
    call = rig.speech.Synthesize(unary(), metadata=(("x-request-id", bad),))
    made = dict(await call.initial_metadata())["x-request-id"]
    assert made == (await call).started.request_id
    assert len(made) == 32


async def test_a_chunk_that_no_client_would_take_is_cut(start):
    async with start(max_message_bytes=64 * 1024 + 10_001) as rig:
        responses = [response async for response in rig.speech.SynthesizeStream(request("abcdefgh"))]
    chunks = [response.audio_chunk for response in responses if response.HasField("audio_chunk")]
    assert len(chunks) == 6
    assert [chunk.sequence for chunk in chunks] == list(range(6))
    position = 0
    for chunk in chunks:
        assert chunk.start_sample == position
        assert len(chunk.audio_content) == 2 * chunk.samples <= 10_001
        position += chunk.samples
    assert position == 8 * 3200


async def test_a_long_unary_answer_is_refused_and_the_engine_stopped(rig, refused):
    rig.synthesizer.endless.add("narrator")
    told = await refused(rig.speech.Synthesize(unary("a" * 50)))
    assert told.code == grpc.StatusCode.INVALID_ARGUMENT
    assert "SynthesizeStream" in told.message
    assert told.details["BadRequest"].field_violations[0].field == "text"
    # 5 s at 32 kHz and 16 bit are 320,000 bytes a chunk: the thirteenth does not fit any more.
    assert rig.synthesizer.taken == 12
    assert rig.synthesizer.released == 1


async def test_the_largest_unary_answer_fits_the_default_of_clients(rig):
    answer = await rig.speech.Synthesize(unary(" ".join(["a" * 64] * 10)))
    assert len(answer.audio_content) == 64 * 32000 * 2
    assert answer.ByteSize() < 4 * 1024**2


async def test_cancelling_a_stalled_stream_releases_it(rig):
    rig.synthesizer.stalls.add(1)
    call = rig.speech.SynthesizeStream(request())
    async for response in call:
        if response.HasField("audio_chunk"):
            break
    await rig.synthesizer.until(lambda: rig.synthesizer.stalled)
    assert rig.synthesizer.released == 0
    call.cancel()
    await rig.synthesizer.until(lambda: rig.synthesizer.released == 1)
    assert await call.code() == grpc.StatusCode.CANCELLED


async def test_cancelling_a_unary_call_releases_it(rig):
    rig.synthesizer.stalls.add(1)
    call = rig.speech.Synthesize(unary())
    await rig.synthesizer.until(lambda: rig.synthesizer.stalled)
    call.cancel()
    await rig.synthesizer.until(lambda: rig.synthesizer.released == 1)


async def test_a_reader_that_vanishes_releases_its_stream(rig):
    rig.synthesizer.endless.add("narrator")
    async with rig.connect() as channel:
        stub = type(rig)(server=rig.server, channel=channel).speech
        call = stub.SynthesizeStream(request())
        await call.read()
    await rig.synthesizer.until(lambda: rig.synthesizer.released == 1)


async def test_a_deadline_reaches_the_engine_and_ends_the_call(rig, refused):
    rig.synthesizer.stalls.add(0)
    for timeout_s in (0.5, 4, 30):  # on a busy machine a short one is over before the call gets anywhere
        before_s = rig.synthesizer.clock()
        told = await refused(rig.speech.SynthesizeStream(request(), timeout=timeout_s))
        assert told.code == grpc.StatusCode.DEADLINE_EXCEEDED
        if rig.synthesizer.begun:
            break
    await rig.synthesizer.until(lambda: rig.synthesizer.released == 1)
    (asked,) = rig.synthesizer.requests
    assert before_s < asked.deadline_s <= before_s + timeout_s + (rig.synthesizer.clock() - before_s)


async def test_a_slow_reader_stalls_only_its_own_production(rig):
    rig.synthesizer.endless.add("slate")
    # Without the probe the client's own window stays small; with it a client on a quick network takes megabytes ahead.
    async with rig.connect(("grpc.http2.bdp_probe", 0)) as channel:
        stub = type(rig)(server=rig.server, channel=channel).speech
        slow = stub.SynthesizeStream(request("a" * 50, voice_id="slate"))
        await slow.read()
        for others in (rig.speech, stub):
            for _ in range(10):
                assert (await others.Synthesize(unary())).done.samples == SAMPLES
        # One chunk of 240,000 bytes is more than the window, so not even the first one is through.
        assert rig.synthesizer.taken - 20 * 3 == 0
        for _ in range(3):
            assert (await slow.read()).audio_chunk.samples == 5 * 24000
        assert rig.synthesizer.taken - 20 * 3 <= 4
        slow.cancel()
        await rig.synthesizer.until(lambda: rig.synthesizer.released == 21)


async def test_sixteen_streams_do_not_mix(rig):
    async def speak(index):
        text = " ".join(["w" * (index % 4 + 1)] * 3)
        call = rig.speech.SynthesizeStream(request(text), metadata=(("x-request-id", f"r{index}"),))
        responses = [response async for response in call]
        return responses[0].started.request_id, responses[-1].done.samples

    answers = await asyncio.gather(*(speak(index) for index in range(16)))
    assert answers == [(f"r{index}", 3 * (index % 4 + 1) * 3200) for index in range(16)]


async def test_a_voice_that_cannot_be_super_sampled_is_told_by_the_field(rig, refused):
    rig.synthesizer.failures[0] = RequestError("cannot be super-sampled", field="super_sampling")
    told = await refused(rig.speech.Synthesize(unary(super_sampling=True)))
    assert told.code == grpc.StatusCode.INVALID_ARGUMENT
    assert [one.field for one in told.details["BadRequest"].field_violations] == ["config.super_sampling"]
    assert rig.synthesizer.requests[0].super_sampling


async def test_all_violations_are_listed_at_once(rig, refused):
    told = await refused(
        rig.speech.Synthesize(
            unary(" ", voice_id="No Such", language_mode=99, audio_config=audio_pb2.AudioConfig(speaking_rate=9.0))
        )
    )
    assert told.code == grpc.StatusCode.INVALID_ARGUMENT
    violations = told.details["BadRequest"].field_violations
    assert [violation.field for violation in violations] == [
        "text",
        "config.voice_id",
        "config.language_mode",
        "config.audio_config.speaking_rate",
    ]
    assert "LANGUAGE_MODE_AUTO_CANTONESE" in violations[2].description
    assert rig.synthesizer.begun == 0


async def test_an_answer_that_the_engine_forgot_to_end_is_our_bug(rig, refused):
    async def forgetful(request):
        return
        yield

    rig.synthesizer.synthesize = forgetful
    told = await refused(rig.speech.Synthesize(unary()))
    assert told.code == grpc.StatusCode.INTERNAL


async def test_a_client_of_the_old_default_is_never_sent_too_much(rig):
    rig.synthesizer.rates_hz["narrator"] = 48000
    config = {"audio_config": audio_pb2.AudioConfig(audio_encoding=audio_pb2.AUDIO_ENCODING_PCM_F32)}
    call = rig.speech.SynthesizeStream(request("a" * 300, **config))  # 30 s, 5.76 MB in one chunk of the engine
    total = sum([len(response.audio_chunk.audio_content) async for response in call])
    assert total == 30 * 48000 * 4
    assert isinstance(call, aio.UnaryStreamCall)
