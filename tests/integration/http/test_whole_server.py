"""The whole server with tiny voices: what callers of the gateway hear is what callers of gRPC hear."""

import asyncio
import io
import json
import urllib.parse
import urllib.request

import openai
import pytest
import soundfile
from grpc import aio

from voxswap.v1 import audio_pb2, speech_service_pb2, speech_service_pb2_grpc, synthesis_pb2
from voxswap_server.app import running
from voxswap_server.settings import Settings

TEXT = "Hello there."


@pytest.fixture
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
