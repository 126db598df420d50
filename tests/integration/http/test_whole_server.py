"""The whole server with tiny voices: what callers of the gateway hear is what callers of gRPC hear."""

import asyncio
import io
import json
import urllib.parse
import urllib.request

import openai
import pytest
import pytest_asyncio
import soundfile
from grpc import aio
from websockets.asyncio.client import connect

from voxswap.v1 import audio_pb2, speech_service_pb2, speech_service_pb2_grpc, synthesis_pb2
from voxswap_server.app import running
from voxswap_server.settings import Settings

TEXT = "Hello there."
pytestmark = pytest.mark.asyncio(loop_scope="module")


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def server(tiny_store):
    settings = Settings(
        store=tiny_store,
        device={"name": "cpu", "threads": 1},
        rpc={"address": "127.0.0.1:0"},
        metrics={"enabled": False},
        http={"port": 0, "api_v2": {"voices": {"GPT_weights_v2/amber-e15.ckpt": "amber"}}},
    )
    async with running(settings) as server:
        yield server


async def over_grpc(server):
    """The file and the joined stream that callers of gRPC get."""
    config = synthesis_pb2.SpeechConfig(
        voice_id="amber",
        language_code="en",
        sampling_config=synthesis_pb2.SamplingConfig(seed=7),
        audio_config=audio_pb2.AudioConfig(audio_encoding=audio_pb2.AUDIO_ENCODING_WAV),
    )
    async with aio.insecure_channel(f"127.0.0.1:{server.rpc.port}") as channel:
        stub = speech_service_pb2_grpc.SpeechServiceStub(channel)
        whole = await stub.Synthesize(speech_service_pb2.SynthesizeRequest(text=TEXT, config=config))
        stream = stub.SynthesizeStream(speech_service_pb2.SynthesizeStreamRequest(text=TEXT, config=config))
        return whole.audio_content, b"".join([message.audio_chunk.audio_content async for message in stream])


async def test_three_surfaces_and_one_voice(server):
    whole, stream = await over_grpc(server)
    async with openai.AsyncOpenAI(base_url=f"{server.http.url}/v1", api_key="none", max_retries=0) as client:
        answer = await client.audio.speech.create(
            model="voxswap", voice="amber", input=TEXT, response_format="wav", extra_body={"seed": 7, "language": "en"}
        )
        with pytest.raises(openai.BadRequestError) as refused:
            await client.audio.speech.create(model="voxswap", voice="amber", input=TEXT, extra_body={"language": "fr"})
    assert answer.content == stream
    # A refusal of the engine has the fields of the surface.
    assert (refused.value.param, refused.value.code) == ("language", "unsupported_language")
    assert await asyncio.to_thread(old_client, server.http.url) == whole
    assert soundfile.info(io.BytesIO(whole)).samplerate == 32000


def old_client(url):
    """What a program that was written for upstream does: two paths of weights, then text; a URL is all it was told."""
    for operation in ("set_gpt_weights", "set_sovits_weights"):
        with ask(f"{url}/{operation}", weights_path="GPT_weights_v2/amber-e15.ckpt") as answer:
            assert json.load(answer) == {"message": "success"}
    with ask(f"{url}/tts", text=TEXT, text_lang="en", seed=7) as answer:
        return answer.read()


def ask(url, **query):
    return urllib.request.urlopen(f"{url}?{urllib.parse.urlencode(query)}", timeout=60)


async def test_a_live_stream_changes_its_voice(server):
    url = f"ws{server.http.url.removeprefix('http')}/v1/live"
    told, audio = [], []
    async with connect(url, proxy=None) as socket:
        await send(
            socket,
            {"type": "config", "voice_id": "amber", "language_code": "en", "seed": 7, "top_k": 5},
            {"type": "text", "text": "Hello there. "},
            {"type": "flush"},
            {"type": "switch_voice", "voice_id": "slate", "at": "next_sentence"},
        )
        async for frame in socket:
            if isinstance(frame, bytes):
                audio.append((int.from_bytes(frame[:8], "little"), frame[8:]))
                continue
            told.append(json.loads(frame))
            if told[-1]["type"] == "voice_changed":  # the text may not be at its end before
                await send(socket, {"type": "text", "text": "Good morning."}, {"type": "end"})
    assert (told[0]["type"], told[-1]["type"]) == ("started", "done")
    (changed,) = [message for message in told if message["type"] == "voice_changed"]
    assert changed["voice_id"] == "slate"
    assert 0 <= changed["start_sample"] < told[-1]["samples"]
    assert told[-1]["samples"] == sum(len(pcm) // 2 for _, pcm in audio)
    assert [start for start, _ in audio] == sorted(start for start, _ in audio)


async def send(socket, *messages):
    for message in messages:
        await socket.send(json.dumps(message))


async def test_a_panel_speaks_and_is_cut_to_another_voice(server):
    url = f"ws{server.http.url.removeprefix('http')}/v1/panel/socket?audio=1"
    async with connect(url, proxy=None) as socket:
        await send(
            socket,
            {"action": "switch", "voice": "amber"},
            {"action": "say", "text": "Good morning to all of you. How are you today?"},
        )
        told, samples, asked = [], 0, False
        async for frame in socket:
            if isinstance(frame, bytes):
                samples += len(frame[8:]) // 2
                continue
            told.append(json.loads(frame))
            if told[-1]["type"] == "sentence" and told[-1]["voice_id"] == "amber" and not asked:
                asked = True
                await send(socket, {"action": "switch", "voice": "slate"})
            if told[-1]["type"] == "line_done":
                if any(message["type"] == "voice_changed" and message["voice_id"] == "slate" for message in told):
                    break
                # It was still being loaded: another line, for it to come into.
                await send(socket, {"action": "say", "text": f"It is {told[-1]['line']} now, and all is well."})
    assert told[-1]["outcome"] == "spoken"
    voices = [message["voice_id"] for message in told if message["type"] == "sentence"]
    assert voices[0] == "amber"
    assert set(voices) <= {"amber", "slate"}
    assert samples > 0
    assert not [message for message in told if message["type"] in {"refused", "warning", "error"}]
