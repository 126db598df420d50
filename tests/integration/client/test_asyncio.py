"""The client for asyncio on a real server: what differs from the one for threads."""

import asyncio
from contextlib import aclosing

import pytest

from voxswap_client import (
    AsyncClient,
    AudioChunk,
    Cancelled,
    DeadlineExceeded,
    InvalidRequest,
    NewVoice,
    StreamStarted,
    SynthesisDone,
    Text,
    VoiceNotFound,
)
from voxswap_server import errors


async def heard(events) -> bytes:
    return b"".join([event.data async for event in events if isinstance(event, AudioChunk)])


async def test_many_streams_at_once_are_what_each_is_alone(server, aclient):
    texts = [f"sentence number {index}" for index in range(16)]
    together = await asyncio.gather(*(heard(aclient.stream(text, "narrator")) for text in texts))
    alone = [(await aclient.synthesize(text, "narrator")).audio for text in texts]
    assert together == alone


async def test_events_are_typed(server, aclient):
    events = [event async for event in aclient.stream("Hello there", "slate")]
    assert [type(event) for event in events] == [StreamStarted, AudioChunk, AudioChunk, SynthesisDone]


async def test_closing_a_stream_frees_its_slot(server, aclient):
    server.synthesizer.endless.add("narrator")
    async with aclosing(aclient.stream("on and on", "narrator")) as events:
        assert isinstance(await anext(events), StreamStarted)
    await asyncio.to_thread(server.on_loop, server.synthesizer.until(lambda: server.synthesizer.released == 1))


async def test_cancelling_a_task_cancels_its_call(server, aclient):
    server.synthesizer.stalls.add(0)
    task = asyncio.create_task(aclient.synthesize("Hello", "narrator"))
    await asyncio.to_thread(server.on_loop, server.synthesizer.until(lambda: server.synthesizer.stalled))
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    await asyncio.to_thread(server.on_loop, server.synthesizer.until(lambda: server.synthesizer.released == 1))


async def test_a_deadline(server, aclient):
    server.synthesizer.stalls.add(0)
    with pytest.raises(DeadlineExceeded):
        await heard(aclient.stream("Hello", "narrator", timeout_s=0.3))


async def test_a_busy_server_is_asked_again(server):
    waits = []

    async def wait(duration_s):
        waits.append(duration_s)
        server.call(server.synthesizer.failures.clear)

    server.synthesizer.failures[-1] = errors.Overloaded("queue full", retry_after_s=0.5)
    async with AsyncClient(server.address, sleep=wait) as client:
        assert await heard(client.stream("Hello", "narrator"))
    assert len(waits) == 1
    assert waits[0] >= 0.5


async def test_an_upload_from_files(server, aclient, tmp_path):
    checkpoint = tmp_path / "s2.pth"
    checkpoint.write_bytes(b"s2" * 2_000_000)
    voice = await aclient.create_voice(NewVoice("nova", b"s1", checkpoint))
    assert voice.voice_id == "nova"
    assert server.library.uploads[0].sovits_checkpoint == checkpoint.read_bytes()
    with pytest.raises(FileNotFoundError):
        await aclient.create_voice(NewVoice("other", b"s1", tmp_path / "none.pth"))


async def test_watching(server, aclient):
    async with aclient.watch_residents() as events:
        await aclient.load_voice("narrator")
        event = await anext(aiter(events))
        assert (event.kind, event.voice_id) == ("loaded", "narrator")
    await asyncio.to_thread(server.on_loop, server.admin.changes.until(lambda: not server.admin.watchers))


@pytest.mark.parametrize("inputs", [1, 40])
async def test_a_server_that_answers_while_it_is_sent_to_is_understood(server, aclient, inputs):
    """grpc.aio alone forgets the status of about a tenth of these calls."""

    async def texts():
        for _ in range(inputs):
            yield Text("Hello" * 400)

    for _ in range(60):
        with pytest.raises(VoiceNotFound, match="not in the store"):
            [event async for event in aclient.live_events(texts(), "nobody")]


async def test_an_upload_that_is_refused_at_once_says_why(server, aclient):
    for _ in range(20):
        with pytest.raises(InvalidRequest, match=r"voice.voice_id"):
            await aclient.create_voice(NewVoice("Not An Id", b"s1" * 2_000_000, b"s2"))


async def test_the_rest_of_the_surface(server, aclient):
    server.embedder.voices = {"narrator": b"clip one"}
    assert [voice.voice_id for voice in await aclient.list_voices()] == ["narrator", "slate"]
    assert (await aclient.get_voice("slate")).state == "cold"
    assert len(await aclient.embed_speaker(b"clip one")) == 192
    assert await aclient.compare_speakers(b"clip one", b"clip one") == pytest.approx(1.0)
    assert (await aclient.find_voices(b"clip one"))[0].voice_id == "narrator"
    assert (await aclient.pin_voice("slate")).pinned
    assert not (await aclient.unpin_voice("slate")).pinned
    assert len(await aclient.list_residents()) == 1
    assert (await aclient.cache_stats()).loads == 2
    await aclient.unload_voice("slate")
    await aclient.delete_voice("slate")
    with pytest.raises(VoiceNotFound):
        await aclient.get_voice("slate")
    assert (await aclient.health()).serving
    assert (await aclient.voice_health("nobody")).status == "service_unknown"


async def test_closing_the_client_ends_a_stream_in_another_task(server):
    server.synthesizer.endless.add("narrator")
    client = AsyncClient(server.address)
    begun = asyncio.Event()

    async def listen():
        async for _ in client.stream("on and on", "narrator"):
            begun.set()

    task = asyncio.create_task(listen())
    await begun.wait()
    await client.close()
    with pytest.raises((Cancelled, asyncio.CancelledError)):
        await task
