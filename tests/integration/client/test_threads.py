"""The client for threads on a real server."""

import threading
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from itertools import islice

import numpy as np
import pytest

from tests.fixtures.fake_engine import STARTED, tone
from voxswap_client import (
    AssetMissing,
    AudioChunk,
    AudioEncoding,
    BadReferenceAudio,
    Cancelled,
    Client,
    DeadlineExceeded,
    InvalidRequest,
    NewVoice,
    Notice,
    Overloaded,
    Prompt,
    RetryPolicy,
    Sampling,
    ServerError,
    SpeechOptions,
    StreamStarted,
    SynthesisDone,
    Text,
    Unavailable,
    VoiceChanges,
    VoiceExists,
    VoiceNotFound,
)
from voxswap_server import domain, errors


def spoken(events) -> bytes:
    return b"".join(event.data for event in events if isinstance(event, AudioChunk))


def expected(server, text: str, voice_id: str = "narrator", seed: int = 7, rate_hz: int = 32000) -> bytes:
    request = domain.SynthesisRequest("", voice_id, text)
    wave = np.concatenate([tone(request, word, rate_hz, seed) for word in text.split()])
    return (np.clip(wave * 32768, -32768, 32767)).astype("<i2").tobytes()


def test_a_stream_is_what_the_engine_said(server, client):
    server.synthesizer.cold.add("narrator")
    server.synthesizer.notices = (domain.Notice("ASSET_MISSING", "no BERT"),)
    events = list(
        client.stream("Hello there world", "narrator", SpeechOptions(sampling=Sampling(seed=3)), request_id="r9")
    )
    started, notice, *chunks, done = events
    assert isinstance(started, StreamStarted)
    assert (started.request_id, started.cache_state, started.load_ms, started.seed) == ("r9", "disk", 12.5, 3)
    assert notice == Notice("ASSET_MISSING", "no BERT")
    assert [chunk.sequence for chunk in chunks] == [0, 1, 2]
    assert [chunk.start_sample for chunk in chunks] == [0, 16000, 32000]
    assert spoken(chunks) == expected(server, "Hello there world", seed=3)
    assert isinstance(done, SynthesisDone)
    assert done.samples == sum(chunk.samples for chunk in chunks)


def test_options_reach_the_engine(server, client):
    options = SpeechOptions(
        language_code="en", encoding=AudioEncoding.WAV, sample_rate_hz=16000, speaking_rate=2.0, volume_gain_db=-6.0,
        sampling=Sampling(5, 0.5, 0.9, 1.1, 42), prompt=Prompt(b"clip", "Hi.", "en"), pause_ms=250, sample_steps=4,
    )  # fmt: skip
    client.synthesize("Hello", "narrator", options)
    [asked] = server.synthesizer.requests
    assert asked.audio == domain.AudioFormat(domain.AudioEncoding.WAV, 16000, -6.0)
    assert asked.sampling == domain.SamplingParams(5, 0.5, 0.9, 1.1, 42)
    assert (asked.speaking_rate, asked.pause_s, asked.sample_steps, asked.language.code) == (2.0, 0.25, 4, "en")
    assert (asked.prompt.audio, asked.prompt.transcript) == (b"clip", "Hi.")
    assert asked.unary
    assert asked.deadline_s is not None


def test_a_unary_answer_is_the_joined_stream(server, client):
    speech = client.synthesize("Hello there", "narrator")
    assert speech.audio == expected(server, "Hello there") == spoken(client.stream("Hello there", "narrator"))
    assert speech.done.samples * 2 == len(speech.audio)


def test_sixteen_threads_share_a_client(server, client):
    texts = [f"sentence number {index}" for index in range(16)]
    with ThreadPoolExecutor(16) as pool:
        answers = list(pool.map(lambda text: spoken(client.stream(text, "slate")), texts))
    assert answers == [expected(server, text, "slate", rate_hz=24000) for text in texts]


def test_closing_a_stream_frees_its_slot(server, client):
    server.synthesizer.endless.add("narrator")
    with closing(client.stream("on and on", "narrator")) as events:
        assert len(list(islice(events, 5))) == 5
    server.on_loop(server.synthesizer.until(lambda: server.synthesizer.released == 1))


def test_a_stream_can_be_left_with_break(server, client):
    server.synthesizer.endless.add("narrator")
    for event in client.stream("on and on", "narrator"):
        if isinstance(event, AudioChunk):
            break
    server.on_loop(server.synthesizer.until(lambda: server.synthesizer.released == 1))


def test_closing_the_client_ends_a_stream_in_another_thread(server):
    server.synthesizer.endless.add("narrator")
    client = Client(server.address)
    heard, failed = threading.Event(), []

    def listen():
        try:
            for event in client.stream("on and on", "narrator"):
                if isinstance(event, AudioChunk):
                    heard.set()
        except Cancelled as error:
            failed.append(error)

    thread = threading.Thread(target=listen)
    thread.start()
    assert heard.wait(30)
    client.close()
    thread.join(30)
    assert len(failed) == 1


def test_a_busy_server_is_asked_again(server):
    answers = iter(
        [errors.Overloaded("queue full", retry_after_s=0.01), errors.Overloaded("queue full", retry_after_s=0.01)]
    )
    synthesizer = server.synthesizer
    speak = synthesizer._speak

    async def busy_at_first(request):
        if error := next(answers, None):
            raise error
        async for event in speak(request):
            yield event

    synthesizer._speak = busy_at_first
    waits = []
    with Client(server.address, sleep=waits.append) as client:
        assert spoken(client.stream("Hello", "narrator")) == expected(server, "Hello")
    assert len(waits) == 2
    assert {request.request_id for request in synthesizer.requests} == {synthesizer.requests[0].request_id}


def test_a_busy_server_is_not_asked_for_ever(server):
    server.synthesizer.failures[STARTED] = errors.Overloaded("queue full", retry_after_s=0.01)
    with Client(server.address, retry=RetryPolicy(max_attempts=3), sleep=lambda _: None) as client:
        with pytest.raises(Overloaded, match="queue full") as caught:
            client.synthesize("Hello", "narrator")
        assert caught.value.retry_after_s == 0.01
    assert server.synthesizer.begun == 3


def test_no_second_try_once_there_was_audio(server, client):
    server.synthesizer.failures[1] = errors.Overloaded("queue full", retry_after_s=0.01)
    heard = []
    with pytest.raises(Overloaded):
        heard.extend(client.stream("Hello there", "narrator"))
    assert server.synthesizer.begun == 1
    assert spoken(heard) == expected(server, "Hello")


def test_errors_arrive_as_themselves(server, client):
    with pytest.raises(VoiceNotFound, match="did you mean narrator") as missing:
        client.get_voice("narrater")
    assert missing.value.voice_id == "narrater"
    with pytest.raises(InvalidRequest) as wrong:
        client.synthesize(" ", "Not An Id", SpeechOptions(speaking_rate=9.0))
    assert {violation.field for violation in wrong.value.violations} == {
        "text", "config.voice_id", "config.audio_config.speaking_rate",
    }  # fmt: skip
    server.synthesizer.failures[0] = ValueError("a secret of the engine")
    with pytest.raises(ServerError) as bug:
        client.synthesize("Hello", "narrator", request_id="mine")
    assert bug.value.request_id == "mine"
    assert "secret" not in str(bug.value)
    with pytest.raises(VoiceNotFound):
        list(client.live_events([Text("Hello")], "nobody"))


def test_a_deadline_ends_a_stalled_synthesis(server, client):
    server.synthesizer.stalls.add(0)
    for timeout_s in (0.3, 4, 30):  # on a busy machine a short one is over before the call gets anywhere
        with pytest.raises(DeadlineExceeded):
            client.synthesize("Hello", "narrator", timeout_s=timeout_s)
        if server.synthesizer.begun:
            break
    server.on_loop(server.synthesizer.until(lambda: server.synthesizer.released == 1))


def test_nobody_there():
    with Client("127.0.0.1:1", sleep=lambda _: None) as client, pytest.raises(Unavailable):
        client.get_voice("narrator")


def test_the_life_of_a_voice(server, client, tmp_path):
    checkpoint = tmp_path / "s2.pth"
    checkpoint.write_bytes(b"s2" * 2_000_000)
    new = NewVoice(
        "nova", b"s1", checkpoint, reference_audio=b"clip", transcript="Hi.", auxiliary_audio=(b"more",), version="v2Pro",
        language_codes=("en",), display_name="Nova", tags=("calm",),
    )  # fmt: skip
    made = client.create_voice(new)
    [upload] = server.library.uploads
    assert upload.sovits_checkpoint == checkpoint.read_bytes()
    assert (upload.t2s_checkpoint, upload.prompt.audio, upload.prompt.auxiliary) == (b"s1", b"clip", (b"more",))
    assert (made.voice_id, made.version, made.language_codes, made.tags) == ("nova", "v2Pro", ("en",), ("calm",))
    with pytest.raises(VoiceExists):
        client.create_voice(new)
    assert [voice.voice_id for voice in client.list_voices()] == ["narrator", "nova", "slate"]
    assert [voice.voice_id for voice in client.list_voices("ja")] == ["narrator", "slate"]
    assert client.update_voice("nova", VoiceChanges(display_name="Supernova")).display_name == "Supernova"
    assert client.get_voice("nova").revision == "r2"
    client.delete_voice("nova")
    with pytest.raises(VoiceNotFound):
        client.delete_voice("nova")


def test_speakers(server, client):
    server.embedder.voices = {"narrator": b"clip one", "slate": b"clip two"}
    assert np.linalg.norm(client.embed_speaker(b"clip one")) == pytest.approx(1.0, abs=1e-5)
    assert client.compare_speakers(b"clip one", b"clip one") == pytest.approx(1.0)
    assert client.find_voices(b"clip two", limit=1)[0].voice_id == "slate"
    with pytest.raises(BadReferenceAudio):
        client.embed_speaker(b"x")
    server.embedder.installed = False
    with pytest.raises(AssetMissing, match="ECAPA"):
        client.embed_speaker(b"clip one")


def test_residency(server, client):
    assert client.list_residents() == ()
    loaded = client.load_voice("narrator")
    assert (loaded.tier, loaded.state, loaded.bytes_own, loaded.idle_ms, loaded.pinned) == (
        "device",
        "resident",
        240,
        1500,
        False,
    )
    assert client.pin_voice("narrator").pinned
    assert not client.unpin_voice("narrator").pinned
    assert [resident.voice_id for resident in client.list_residents()] == ["narrator"]
    client.unload_voice("narrator", wait=True)
    assert server.admin.waited == ["narrator"]
    stats = client.cache_stats()
    assert {tier.tier: (tier.bytes_used, tier.bytes_budget) for tier in stats.tiers} == {
        "device": (0, 1000),
        "host": (0, 2000),
    }
    assert {found.cache: (found.hits, found.misses) for found in stats.lookups} == {"voices": (5, 2), "prompts": (0, 1)}
    assert stats.evictions == {"lru": 1}


def test_watching_misses_nothing_and_ends_with_its_block(server, client):
    with client.watch_residents() as events:
        client.load_voice("slate")
        client.unload_voice("slate")
        loaded, evicted = islice(events, 2)
    assert (loaded.kind, loaded.voice_id, loaded.bytes, round(loaded.at.timestamp(), 3)) == (
        "loaded",
        "slate",
        300,
        1_700_000_000.25,
    )
    assert (evicted.kind, evicted.reason) == ("evicted", "admin")
    server.on_loop(server.admin.changes.until(lambda: not server.admin.watchers))


def test_health(server, client):
    assert client.health().serving
    assert client.health("voxswap.v1.SpeechService").serving
    assert client.voice_health("narrator").serving
    assert client.voice_health("nobody").status == "service_unknown"
    server.on_loop(server.server.health.set_ready(False))
    assert client.health("voxswap.v1.SpeechService").status == "not_serving"
