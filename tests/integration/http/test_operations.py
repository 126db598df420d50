"""What every request over HTTP gets: problems, ids, one canonical line, a count, cancellation, drain."""

import asyncio
import json

import httpx2
import pytest

from tests.fixtures.fake_engine import STARTED
from voxswap_server import errors
from voxswap_server.auth import Authenticator, Scope
from voxswap_server.auth.keys import create_key
from voxswap_server.http.api_v2.config import ApiV2Config

TRACE = "0af7651916cd43dd8448eb211c80319c"
SPEECH = "POST /v1/audio/speech"
BODY = {"model": "voxswap", "voice": "narrator", "input": "three small words", "response_format": "pcm"}

FAILURES = {
    errors.VoxswapError("secret"): (500, "INTERNAL"),
    errors.RequestError("odd", field="text"): (400, "INVALID_ARGUMENT"),
    errors.VoiceNotFound("ghost", ["narrator"]): (404, "NOT_FOUND"),
    errors.VoiceUnusable("narrator", "broken"): (422, "FAILED_PRECONDITION"),
    errors.AssetMissing("BERT", "fetch it"): (422, "FAILED_PRECONDITION"),
    errors.OutOfMemory("does not fit"): (429, "RESOURCE_EXHAUSTED"),
    errors.Draining("going"): (503, "UNAVAILABLE"),
    errors.DeadlineExceeded("too late"): (504, "DEADLINE_EXCEEDED"),
    errors.NotBuilt("later"): (501, "UNIMPLEMENTED"),
    errors.EngineError("secret"): (500, "INTERNAL"),
    errors.DegenerateAudio("silence"): (500, "DATA_LOSS"),
    ValueError("secret"): (500, "INTERNAL"),
    asyncio.CancelledError(): (500, "INTERNAL"),
    TimeoutError("secret"): (500, "INTERNAL"),
}


def speak(rig, body=BODY, **options):
    return rig.client.post("/v1/audio/speech", json=body, **options)


@pytest.mark.parametrize(("failure", "expected"), FAILURES.items(), ids=lambda value: type(value).__name__)
async def test_every_failure_is_told_the_same_way(rig, lines, failure, expected):
    rig.synthesizer.failures[STARTED] = failure
    answer = await speak(rig, headers={"x-request-id": "r-1"})
    told, (status, code) = answer.json(), expected
    assert (answer.status_code, told["status"]) == (status, status)
    assert answer.headers["content-type"] == "application/problem+json"
    assert answer.headers["x-request-id"] == told["request_id"] == "r-1"
    assert told["reason"] == getattr(failure, "reason", "INTERNAL")
    assert told["type"] == f"urn:voxswap:error:{told['reason']}"
    assert "secret" not in answer.text
    line = await lines.http()
    assert (line["code"], line["status"], line["request_id"]) == (code, status, "r-1")
    assert (line["exc_info"] is failure) == (code in {"INTERNAL", "DATA_LOSS"})
    assert rig.count(SPEECH, code) == 1
    assert rig.synthesizer.released == 1


async def test_one_canonical_line_tells_all_and_no_text(rig, lines):
    await speak(rig, headers={"traceparent": f"00-{TRACE}-b7ad6b7169203331-01"})
    line = await lines.http()
    assert len(lines.all) == 1
    told = {
        key: line[key] for key in ("method", "code", "status", "voice", "text_chars", "utterances", "audio_s", "swap")
    }
    assert told == {
        "method": SPEECH,
        "code": "OK",
        "status": 200,
        "voice": "narrator",
        "text_chars": 17,
        "utterances": 1,
        "audio_s": 1.5,
        "swap": False,
    }
    assert {"ttfa_s", "rtf", "queue_s", "duration_s"} <= line.keys()
    assert line["trace_id"] == TRACE
    assert "small" not in str(line)


@pytest.mark.parametrize("step", [STARTED, 1], ids=["before-audio", "amid-audio"])
async def test_who_goes_away_frees_the_engine(rig, lines, step):
    rig.synthesizer.stalls.add(step)

    async def ask():
        async with rig.client.stream("POST", "/v1/audio/speech", json=BODY) as answer:
            await answer.aread()

    asking = asyncio.create_task(ask())
    await rig.synthesizer.until(lambda: rig.synthesizer.stalled)
    asking.cancel()
    await asyncio.wait({asking})
    await rig.synthesizer.until(lambda: rig.synthesizer.released == 1)
    assert (await lines.http())["code"] == "CANCELLED"
    assert rig.count(SPEECH, "CANCELLED") == 1


async def test_a_slow_reader_slows_its_own_production_alone(rig):
    rig.synthesizer.endless.add("narrator")
    async with rig.client.stream("POST", "/v1/audio/speech", json=BODY | {"input": "w" * 200}) as answer:
        await anext(answer.aiter_raw(1000))
        async with rig.connect() as others:
            for _ in range(10):
                assert (await others.post("/v1/audio/speech", json=BODY | {"voice": "slate"})).status_code == 200
        # 960,000 bytes a chunk: what the sockets of both sides hold, and no more.
        assert 0 < rig.synthesizer.taken - 10 * 3 < 30
    await rig.synthesizer.until(lambda: rig.synthesizer.released == 11)


async def test_a_deadline_ends_what_nobody_takes(rig, lines):
    rig.synthesizer.endless.add("narrator")
    much, soon = BODY | {"input": "w" * 200}, {"x-timeout-ms": "1000"}
    async with rig.client.stream("POST", "/v1/audio/speech", json=much, headers=soon):
        await rig.synthesizer.until(lambda: rig.synthesizer.released == 1)
    assert (await lines.http())["code"] == "DEADLINE_EXCEEDED"


async def test_a_deadline_reaches_the_engine(rig):
    rig.synthesizer.clock = lambda: 1e12
    answer = await speak(rig, headers={"x-timeout-ms": "60000"})
    assert (answer.status_code, answer.json()["reason"]) == (504, "DEADLINE_EXCEEDED")


@pytest.mark.parametrize("given", ["0", "-5", "1.5", "soon", "9" * 30, "0" * 11 + "5" + "9" * 400, "²"])
async def test_a_deadline_that_is_none_is_refused(rig, given):
    answer = await speak(rig, headers={"x-timeout-ms": given.encode()})
    assert (answer.status_code, answer.json()["errors"][0]["field"]) == (400, "x-timeout-ms")
    assert not rig.synthesizer.requests


@pytest.mark.parametrize("content", [b"", b"[]", b"{", b"\xff", b"[" * 100_000, b'{"input": NaN}'])
async def test_a_body_that_is_no_object_is_refused(rig, content):
    answer = await rig.client.post("/v1/audio/speech", content=content)
    assert (answer.status_code, answer.json()["reason"]) == (400, "INVALID_REQUEST")
    assert answer.json()["error"]["type"] == "invalid_request_error"


async def test_text_that_is_no_unicode_is_refused(rig):
    answer = await rig.client.post("/v1/audio/speech", content=json.dumps(BODY | {"input": "\ud800"}))
    assert (answer.status_code, answer.json()["detail"]) == (400, "the body holds half of a character")
    assert not rig.synthesizer.requests


@pytest.mark.parametrize("head", [b"content-length: 9999999999", b"transfer-encoding: chunked"])
async def test_a_body_that_is_too_long_is_not_read_to_its_end(rig, head):
    reader, writer = await asyncio.open_connection("127.0.0.1", rig.server.port)
    writer.write(b"POST /v1/audio/speech HTTP/1.1\r\nhost: localhost\r\n" + head + b"\r\n\r\n")
    if head.endswith(b"chunked"):
        writer.write(b"100001\r\n" + b" " * 0x100001)
    answer = (await reader.read()).decode()
    assert answer.startswith("HTTP/1.1 413 ")
    assert "BODY_TOO_LARGE" in answer
    writer.close()


async def test_other_paths_and_methods_are_problems_too(rig):
    answer = await rig.client.get("/v1/sing")
    assert (answer.status_code, answer.json()["reason"]) == (404, "NO_SUCH_PATH")
    answer = await rig.client.request("BREW", "/v1/audio/speech")
    assert (answer.status_code, answer.headers["allow"]) == (405, "POST")
    assert rig.count("OTHER /v1/audio/speech", "UNIMPLEMENTED") == 1
    assert rig.count("OTHER", "UNIMPLEMENTED") == 1


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({}, 200),
        ({"origin": "http://evil.example"}, 403),
        ({"origin": "null"}, 403),
        ({"origin": "http://["}, 403),
        ({"host": "["}, 403),
        ({"sec-fetch-site": "cross-site"}, 403),
        ({"sec-fetch-site": "same-origin"}, 200),
        ({"host": "evil.example"}, 403),
        ({"host": "evil.example", "origin": "http://evil.example"}, 403),
        ({"host": "localhost:1"}, 200),
        ({"host": "voxswap:8000"}, 200),
        ({"host": "[::1]:8000"}, 200),
    ],
)
async def test_a_strangers_page_may_not_speak(rig, headers, status):
    answer = await rig.client.get("/v1/models", headers=headers)
    assert answer.status_code == status
    assert "access-control-allow-origin" not in answer.headers
    if status == 403:
        assert answer.json()["reason"] == "FOREIGN_PAGE"


async def test_our_own_page_may(rig):
    assert (await rig.client.get("/v1/models", headers={"origin": rig.server.url})).status_code == 200


async def test_an_allowed_page_may_and_can_read_it(start):
    origin = {"origin": "https://studio.example"}
    async with start(allowed_origins=("https://studio.example",)) as rig:
        answer = await rig.client.get("/v1/models", headers=origin | {"sec-fetch-site": "cross-site"})
        assert (answer.status_code, answer.headers["access-control-allow-origin"]) == (200, origin["origin"])
        asked = {"access-control-request-method": "POST", "access-control-request-headers": "authorization"}
        answer = await rig.client.options("/v1/audio/speech", headers=origin | asked)
        assert (answer.status_code, answer.headers["access-control-allow-methods"]) == (204, "POST")
        assert answer.headers["access-control-allow-headers"] == "authorization"
        answer = await rig.client.options("/v1/audio/speech", headers=asked | {"origin": "https://evil.example"})
        assert answer.status_code == 403


async def test_keys_have_scopes_here_as_they_have_there(start, tmp_path, lines):
    secret = create_key(tmp_path / "keys.toml", "studio", [Scope.SPEAK])
    wrong = create_key(tmp_path / "keys.toml", "ops", [Scope.METRICS])
    async with start(authenticator=Authenticator(tmp_path / "keys.toml")) as rig:
        answer = await rig.client.get("/v1/models")
        assert (answer.status_code, answer.headers["www-authenticate"]) == (401, "Bearer")
        answer = await rig.client.get("/v1/models", headers={"authorization": f"Bearer {wrong}"})
        assert (answer.status_code, answer.json()["reason"]) == (403, "PERMISSION_DENIED")
        for headers in ({"authorization": f"Bearer {secret}"}, {"x-api-key": secret}):
            assert (await rig.client.get("/v1/models", headers=headers)).status_code == 200
    assert (await lines.http(2))["caller"] == "studio"
    assert secret not in str(lines.all)


async def test_choices_belong_to_a_key_and_not_to_an_address(start, tmp_path):
    first, second = (create_key(tmp_path / "keys.toml", name, [Scope.SPEAK]) for name in ("first", "second"))
    async with start(authenticator=Authenticator(tmp_path / "keys.toml"), api_v2=ApiV2Config()) as rig:
        for secret, voice_id in ((first, "narrator"), (second, "slate")):
            await rig.client.get("/set_gpt_weights", params={"weights_path": voice_id}, headers={"x-api-key": secret})
        answer = await rig.client.get("/tts?text=one&text_lang=en", headers={"x-api-key": first})
        assert answer.headers["x-voice-id"] == "narrator"


async def test_draining_lets_work_end_and_takes_no_more(start):
    async with start(drain_grace_s=60.0) as rig:
        rig.synthesizer.stalls.add(1)
        async with rig.connect() as other, rig.client.stream("POST", "/v1/audio/speech", json=BODY) as answer:
            pieces = answer.aiter_raw()
            heard = len(await anext(pieces))
            await other.get("/v1/models")  # a connection that is there already
            draining = asyncio.create_task(rig.server.drain())
            await asyncio.sleep(0)
            refused = await other.get("/v1/models")
            assert (refused.status_code, refused.json()["reason"]) == (503, "DRAINING")
            assert refused.headers["retry-after"] == "1"
            rig.synthesizer.go.set()
            assert heard + sum([len(piece) async for piece in pieces]) == 2 * 36000
        assert await draining
        with pytest.raises(httpx2.ConnectError):
            await other.get("/v1/models") if not other.is_closed else await rig.client.get("/v1/models")


async def test_what_does_not_end_in_time_is_cut_off(start):
    async with start(drain_grace_s=0.0) as rig:
        rig.synthesizer.stalls.add(1)
        async with rig.client.stream("POST", "/v1/audio/speech", json=BODY) as answer:
            pieces = answer.aiter_raw()
            await anext(pieces)
            assert not await rig.server.drain()
            with pytest.raises(httpx2.RemoteProtocolError):
                await anext(pieces)
        assert rig.synthesizer.released == 1


async def test_a_port_that_is_taken_is_said(start):
    async with start() as rig:
        with pytest.raises(OSError, match=f"cannot listen on 127.0.0.1:{rig.server.port}"):
            async with start(port=rig.server.port):
                pass
