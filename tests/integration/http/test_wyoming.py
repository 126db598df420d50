"""Home Assistant's protocol, spoken by its own client."""

import asyncio
import json
import socket
from contextlib import asynccontextmanager

import numpy as np
import pytest
from wyoming.audio import AudioChunk, AudioStart, AudioStop
from wyoming.client import AsyncTcpClient
from wyoming.error import Error
from wyoming.info import Describe, Info
from wyoming.tts import Synthesize, SynthesizeChunk, SynthesizeStart, SynthesizeStop, SynthesizeStopped, SynthesizeVoice

from tests.fixtures.fake_engine import STARTED, FakeAdmin, FakeLibrary, FakeSynthesizer, voice_info
from tests.fixtures.fake_live import FakeLive
from voxswap_server import errors
from voxswap_server.domain import Language, Notice
from voxswap_server.http.gateway import Services
from voxswap_server.http.wyoming import WyomingConfig, WyomingServer
from voxswap_server.http.wyoming_events import read_event


class Counts:
    def __init__(self):
        self.codes = []

    def request(self, method, code):
        self.codes.append((method, code))


@asynccontextmanager
async def talking(**config):
    synthesizer, library = FakeSynthesizer(), FakeLibrary([voice_info("narrator"), voice_info("slate")])
    services = Services(synthesizer, library, FakeAdmin(), FakeLive())
    server = WyomingServer(services, WyomingConfig(port=0, **config), Counts())
    await server.start()
    try:
        async with AsyncTcpClient("127.0.0.1", server.port) as client:
            yield server, client, synthesizer
    finally:
        await server.drain(0.0)


async def hear(client, last=AudioStop):
    """Every event until one of a kind."""
    events = []
    while not events or not last.is_type(events[-1].type):
        events.append(await client.read_event())
        assert events[-1] is not None
    return events


def pcm(events):
    return np.frombuffer(b"".join(event.payload for event in events if AudioChunk.is_type(event.type)), "<i2")


async def test_a_voice_speaks():
    async with talking() as (server, client, synthesizer):
        await client.write_event(Synthesize("three small words", SynthesizeVoice(name="slate")).event())
        events = await hear(client)
        started = AudioStart.from_event(events[0])
        assert (started.rate, started.width, started.channels) == (24000, 2, 1)
        assert pcm(events).size == 36000
        assert AudioChunk.from_event(events[2]).timestamp == 500
        assert server.metrics.codes == [("WYOMING synthesize", "OK")]
        assert synthesizer.released == 1


async def test_its_line_in_the_log_tells_what_the_protocol_cannot(lines):
    async with talking(default_voice="narrator") as (_, client, synthesizer):
        synthesizer.late_notices[1] = Notice("UTTERANCE_RETRIED", "spoken again")
        await client.write_event(Synthesize("three small words").event())
        await hear(client)
        await lines.until(lambda: lines.of("wyoming"))
    (line,) = lines.of("wyoming")
    told = {key: line[key] for key in ("method", "code", "voice", "text_chars", "audio_s", "notices")}
    assert told == {
        "method": "WYOMING synthesize",
        "code": "OK",
        "voice": "narrator",
        "text_chars": 17,
        "audio_s": 1.5,
        "notices": ["UTTERANCE_RETRIED"],
    }


async def test_text_in_pieces_is_spoken_by_the_sentence():
    async with talking(default_voice="narrator") as (_, client, synthesizer):
        await client.write_event(SynthesizeStart(SynthesizeVoice(language="en")).event())
        for piece in ("One sent", "ence. And", " another"):
            await client.write_event(SynthesizeChunk(piece).event())
        await client.write_event(Synthesize("One sentence. And another").event())
        await client.write_event(SynthesizeStop().event())
        events = await hear(client, SynthesizeStopped)
        assert [one.text for one in synthesizer.requests] == ["One sentence. ", "And another"]
        assert {one.voice_id for one in synthesizer.requests} == {"narrator"}
        assert sum(AudioStop.is_type(event.type) for event in events) == 2


async def test_a_language_that_is_named_is_meant():
    async with talking(default_voice="narrator") as (_, client, synthesizer):
        await client.write_event(Synthesize("one", SynthesizeVoice(language="ja")).event())
        await hear(client)
        assert synthesizer.requests[0].language == Language("ja")


async def test_voices_are_listed():
    async with talking() as (_, client, _):
        await client.write_event(Describe().event())
        (program,) = Info.from_event(await client.read_event()).tts
        assert [voice.name for voice in program.voices] == ["narrator", "slate"]
        assert program.supports_synthesize_streaming


@pytest.mark.parametrize(
    ("voice", "failure", "code"),
    [
        (None, None, "INVALID_REQUEST"),
        (SynthesizeVoice(name="../x"), None, "INVALID_REQUEST"),
        (SynthesizeVoice(name="ghost"), None, "VOICE_NOT_FOUND"),
        (SynthesizeVoice(name="narrator"), errors.EngineError("secret"), "INTERNAL"),
    ],
)
async def test_what_is_refused_is_told_and_the_connection_goes_on(voice, failure, code):
    async with talking() as (_, client, synthesizer):
        if failure is not None:
            synthesizer.failures[STARTED] = failure
        await client.write_event(Synthesize("one", voice).event())
        told = Error.from_event((await hear(client, Error))[-1])
        assert told.code == code
        assert "secret" not in told.text
        synthesizer.failures.clear()
        await client.write_event(Synthesize("one", SynthesizeVoice(name="narrator")).event())
        await hear(client)


async def test_who_goes_away_frees_the_engine():
    async with talking() as (_, client, synthesizer):
        synthesizer.endless.add("narrator")
        await client.write_event(Synthesize("w" * 200, SynthesizeVoice(name="narrator")).event())
        await client.read_event()
        await client.disconnect()
        await synthesizer.until(lambda: synthesizer.released == 1)


@pytest.mark.parametrize(
    "line",
    [
        b"GET / HTTP/1.1",
        b"[]",
        b'{"type": "describe", "data_length": "1"}',
        b'{"no": "type"}',
        b"[" * 10_000,
    ],
)
async def test_what_is_not_the_protocol_ends_the_connection(line):
    async with talking() as (server, client, _):
        client._writer.write(line + b"\n")
        await client._writer.drain()
        assert await client.read_event() is None
        assert not server.metrics.codes


async def test_a_header_without_end_is_not_waited_for():
    reader = asyncio.StreamReader()
    reader.feed_data(b" " * 2**17)
    assert await read_event(reader, 1000) is None


@pytest.mark.parametrize("announced", ["data_length", "payload_length"])
async def test_an_event_that_announces_too_much_is_not_read(announced):
    async with talking(max_event_bytes=1000) as (server, client, _):
        client._writer.write(json.dumps({"type": "describe", announced: 1001}).encode() + b"\n")
        await client._writer.drain()
        told = Error.from_event(await client.read_event())
        assert (told.code, "at most 1000" in told.text) == ("BODY_TOO_LARGE", True)
        assert await client.read_event() is None
        assert server.metrics.codes == [("WYOMING connect", "INVALID_ARGUMENT")]


async def test_there_are_only_so_many_connections():
    async with talking(max_connections=1, default_voice="narrator") as (server, client, _):
        await client.write_event(Describe().event())
        await client.read_event()
        async with AsyncTcpClient("127.0.0.1", server.port) as other:
            told = Error.from_event(await other.read_event())
            assert (told.code, told.text) == ("QUEUE_FULL", "1 connections are open, which is the limit")
            assert await other.read_event() is None
        assert server.metrics.codes == [("WYOMING connect", "RESOURCE_EXHAUSTED")]
        await client.write_event(Synthesize("one").event())
        await hear(client)
        await client.disconnect()
        while server._talks:
            await asyncio.gather(*server._talks)
        async with AsyncTcpClient("127.0.0.1", server.port) as next_one:
            await next_one.write_event(Describe().event())
            assert Info.is_type((await next_one.read_event()).type)


async def test_the_system_asks_whether_the_caller_is_still_there(monkeypatch):
    served = []
    monkeypatch.setattr(WyomingServer, "_talk", _keeping(WyomingServer._talk, served))
    async with talking() as (_, client, _):
        await client.write_event(Describe().event())
        await client.read_event()
        assert served[0].get_extra_info("socket").getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE) == 1


def _keeping(talk, served):
    def kept(server, reader, writer):
        served.append(writer)
        return talk(server, reader, writer)

    return kept


async def test_draining_ends_it():
    async with talking(default_voice="narrator") as (server, client, _):
        await client.write_event(Describe().event())
        await client.read_event()
        assert await server.drain(0.0)
        assert await client.read_event() is None
