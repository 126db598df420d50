"""OpenAI's own client, against a real server."""

import base64
import io
import json

import httpx2
import openai
import pytest
import soundfile

from tests.fixtures.fake_engine import STARTED
from voxswap_server import errors
from voxswap_server.audio.decode import decode
from voxswap_server.domain import AudioEncoding, Language, LanguageMode, Notice

SPEECH = "POST /v1/audio/speech"


@pytest.fixture
async def client(rig):
    how = {"http_client": rig.connect(), "max_retries": 0}
    async with openai.AsyncOpenAI(base_url=f"{rig.server.url}/v1", api_key="none", **how) as client:
        yield client


def speak(client, text="three small words", voice="narrator", **options):
    return client.audio.speech.create(model="voxswap", voice=voice, input=text, **options)


async def test_a_voice_speaks(rig, client):
    answer = await speak(client, response_format="wav", speed=2.0, extra_body={"seed": 5, "language": "en"})
    audio, rate_hz = soundfile.read(io.BytesIO(answer.content))
    assert (rate_hz, audio.size) == (32000, 24000)
    (asked,) = rig.synthesizer.requests
    assert (asked.voice_id, asked.text, asked.speaking_rate) == ("narrator", "three small words", 2.0)
    assert (asked.sampling.seed, asked.language, asked.unary) == (5, Language("en"), False)
    assert answer.response.headers["x-voice-id"] == "narrator"
    assert answer.response.headers["x-cache-state"] == "device"
    assert answer.response.headers["x-sample-rate-hertz"] == "32000"
    assert answer.response.headers["x-seed"] == "5"
    assert rig.count(SPEECH, "OK") == 1


@pytest.mark.parametrize(
    ("name", "encoding", "media_type"),
    [
        ("mp3", AudioEncoding.MP3, "audio/mpeg"),
        ("opus", AudioEncoding.OGG_OPUS, "audio/ogg"),
        ("aac", AudioEncoding.AAC, "audio/aac"),
        ("flac", AudioEncoding.FLAC, "audio/flac"),
        ("wav", AudioEncoding.WAV, "audio/wav"),
    ],
)
async def test_every_format_is_what_it_says(rig, client, name, encoding, media_type):
    answer = await speak(client, voice="slate", response_format=name)
    assert answer.response.headers["content-type"] == media_type
    assert rig.synthesizer.requests[0].audio.encoding is encoding
    heard = decode(answer.content, max_s=60, max_bytes=1 << 24)
    assert abs(len(heard.samples) / heard.rate_hz - 1.5) < 0.1


async def test_pcm_is_24_khz_whatever_the_voice_has(rig, client):
    answer = await speak(client, response_format="pcm")
    assert answer.response.headers["x-sample-rate-hertz"] == "24000"
    assert len(answer.content) == 2 * 36000


async def test_mp3_is_the_default_and_the_language_is_detected(rig, client):
    await speak(client)
    (asked,) = rig.synthesizer.requests
    assert asked.audio.encoding is AudioEncoding.MP3
    assert asked.language == Language("", LanguageMode.AUTO)


async def test_audio_arrives_while_it_is_made(rig, client):
    rig.synthesizer.stalls.add(1)
    async with client.audio.speech.with_streaming_response.create(
        model="tts-1", voice="narrator", input="three small words", response_format="pcm"
    ) as answer:
        pieces = answer.iter_bytes()
        first = await anext(pieces)
        assert first
        assert not rig.synthesizer.go.is_set()
        rig.synthesizer.go.set()
        assert len(first) + sum([len(piece) async for piece in pieces]) == 2 * 36000


async def events_of(client, **options):
    """What OpenAI's own client reads of an answer in events."""
    async with client.audio.speech.with_streaming_response.create(
        model="voxswap", input="three small words", response_format="pcm", stream_format="sse", **options
    ) as answer:
        assert answer.headers["content-type"] == "text/event-stream"
        return [json.loads(line.removeprefix("data: ")) async for line in answer.iter_lines() if line]


async def test_events_carry_the_same_audio(rig, client):
    plain = await speak(client, response_format="pcm")
    events = await events_of(client, voice={"id": "narrator"})
    kinds = [event["type"] for event in events]
    assert kinds == ["speech.audio.delta"] * 3 + ["speech.audio.done"]
    assert b"".join(base64.b64decode(event["audio"]) for event in events[:-1]) == plain.content
    assert events[-1]["usage"] == {"input_tokens": 17, "output_tokens": 37, "total_tokens": 54}


UNREAD, AGAIN = Notice("CHARACTERS_NOT_READ", "these: 한"), Notice("UTTERANCE_RETRIED", "spoken again")


async def test_events_tell_every_notice_with_its_words(rig, client):
    rig.synthesizer.notices = (UNREAD,)
    rig.synthesizer.late_notices[2] = AGAIN
    events = await events_of(client, voice="narrator")
    warnings = [(place, event) for place, event in enumerate(events) if event["type"] == "speech.audio.warning"]
    assert warnings == [
        (0, {"type": "speech.audio.warning", "code": UNREAD.code, "message": UNREAD.message}),
        (3, {"type": "speech.audio.warning", "code": AGAIN.code, "message": AGAIN.message}),
    ]
    assert [event["type"] for event in events].count("speech.audio.delta") == 3


async def test_a_request_that_is_refused_has_no_events(rig, client):
    rig.synthesizer.notices = (UNREAD,)
    rig.synthesizer.failures[0] = errors.VoiceUnusable("narrator", "broken")
    with pytest.raises(openai.UnprocessableEntityError):
        await events_of(client, voice="narrator")


@pytest.mark.parametrize(("name", "told"), [("flac", [UNREAD, AGAIN]), ("pcm", [UNREAD])])
async def test_a_header_tells_what_was_known_when_it_was_sent_and_the_log_tells_all(rig, client, lines, name, told):
    rig.synthesizer.notices = (UNREAD,)
    rig.synthesizer.late_notices[2] = AGAIN
    answer = await speak(client, response_format=name)
    assert answer.response.headers["x-notices"] == ", ".join(notice.code for notice in told)
    assert (await lines.http())["notices"] == [UNREAD.code, AGAIN.code]


async def test_an_error_amid_events_is_an_event_and_the_connection_ends(rig):
    rig.synthesizer.failures[1] = errors.EngineError("secret")
    body = {"model": "voxswap", "voice": "narrator", "input": "three small words", "stream_format": "sse"}
    heard = bytearray()

    async def listen():
        async with rig.client.stream("POST", "/v1/audio/speech", json=body | {"response_format": "pcm"}) as answer:
            async for piece in answer.aiter_raw():
                heard.extend(piece)

    with pytest.raises(httpx2.RemoteProtocolError):
        await listen()
    assert b'"code": "internal"' in heard
    assert b"secret" not in heard
    assert rig.count(SPEECH, "INTERNAL") == 1


async def test_instructions_are_ignored_and_that_is_told(rig, client):
    rig.synthesizer.notices = (Notice("CHARACTERS_NOT_READ", "these: 한"), Notice("CHARACTERS_NOT_READ", "and these"))
    answer = await speak(client, instructions="Whisper.")
    assert answer.response.headers["x-notices"] == "INSTRUCTIONS_IGNORED, CHARACTERS_NOT_READ"


async def test_voices_and_models_are_listed(rig, client):
    assert [model.id async for model in client.models.list()] == ["voxswap", "tts-1", "tts-1-hd", "gpt-4o-mini-tts"]
    assert (await client.models.retrieve("voxswap")).owned_by == "voxswap"
    with pytest.raises(openai.NotFoundError):
        await client.models.retrieve("gpt-9")
    voices = (await rig.client.get("/v1/audio/voices")).json()["voices"]
    assert [voice["id"] for voice in voices] == ["narrator", "slate"]
    assert voices[0] == {
        "id": "narrator",
        "name": "narrator",
        "object": "voice",
        "version": "v2",
        "languages": ["zh", "en", "ja"],
        "sample_rate_hertz": 32000,
        "state": "cold",
    }


@pytest.mark.parametrize(
    ("options", "param", "says"),
    [
        ({"text": " "}, "input", "nothing"),
        ({"voice": ""}, "voice", "GET /v1/audio/voices"),
        ({"voice": "../etc"}, "voice", "does not match"),
        ({"speed": 5}, "speed", "less than or equal to 4; it is 5"),
        ({"response_format": "ac3"}, "response_format", "'mp3', 'opus'"),
        ({"extra_body": {"model": "gpt-9"}}, "model", "there is no model 'gpt-9'"),
        ({"extra_body": {"pitch": 2}}, "pitch", "there is no such field"),
    ],
)
async def test_what_is_wrong_is_named(rig, client, options, param, says):
    with pytest.raises(openai.BadRequestError) as refused:
        await speak(client, **options)
    assert refused.value.param == param
    assert refused.value.code == "invalid_request"
    assert says in str(refused.value)
    assert not rig.synthesizer.requests


async def test_an_unknown_voice_is_never_another_one(rig, client):
    with pytest.raises(openai.NotFoundError) as refused:
        await speak(client, voice="narator")
    assert refused.value.code == "voice_not_found"
    assert refused.value.param == "voice"
    assert "did you mean narrator?" in str(refused.value)


async def test_the_client_is_told_when_to_come_back(rig, client):
    rig.synthesizer.failures[STARTED] = errors.Overloaded("full", retry_after_s=2.2)
    with pytest.raises(openai.RateLimitError) as refused:
        await speak(client)
    assert refused.value.response.headers["retry-after"] == "3"


async def test_a_failure_amid_audio_is_no_shorter_audio(rig, client):
    rig.synthesizer.failures[2] = errors.EngineError("secret")
    with pytest.raises(openai.APIConnectionError):
        await speak(client, response_format="pcm")
    assert rig.count(SPEECH, "INTERNAL") == 1
