"""A live stream over a real WebSocket."""

import json

import pytest
from websockets.exceptions import ConnectionClosed, InvalidStatus

from voxswap_server import errors
from voxswap_server.auth import Authenticator, Scope
from voxswap_server.auth.keys import create_key
from voxswap_server.domain import AudioEncoding, Language, LanguageMode, SamplingParams, TimestampKind
from voxswap_server.domain_live import (
    CancelUtterance,
    Flush,
    LiveText,
    Playhead,
    SetSpeakingRate,
    SwitchPoint,
    SwitchVoice,
)

CONFIG = {"type": "config", "voice_id": "narrator"}
LIVE = "WEBSOCKET /v1/live"


async def say(socket, *messages):
    for message in messages:
        await socket.send(json.dumps(message))


async def hear(socket):
    """Everything until the end: JSON messages, audio joined, and the sample at which each binary frame starts."""
    told, audio, starts = [], b"", []
    try:
        while True:
            frame = await socket.recv()
            if isinstance(frame, str):
                told.append(json.loads(frame))
            else:
                starts.append(int.from_bytes(frame[:8], "little"))
                audio += frame[8:]
    except ConnectionClosed as closed:
        return told, audio, starts, closed.rcvd


async def test_text_becomes_audio_and_the_voice_changes_amid_it(rig):
    async with rig.socket("/v1/live") as socket:
        await say(
            socket,
            CONFIG | {"seed": 7, "language_code": "en", "timestamp_types": ["word"], "max_ahead_ms": 60000},
            {"type": "text", "text": "two words"},
            {"type": "flush"},
            {"type": "switch_voice", "voice_id": "slate", "at": "now", "crossfade_ms": 20},
            {"type": "switch_voice", "voice_id": "ghost"},
            {"type": "set_speaking_rate", "speaking_rate": 1.5},
            {"type": "playhead", "sample": 100},
            {"type": "cancel_utterance"},
            {"type": "end"},
        )
        told, audio, starts, closed = await hear(socket)
    kinds = [message["type"] for message in told]
    assert kinds[0] == "started"
    assert kinds[-1] == "done"
    assert sorted(kinds[1:-1]) == ["utterance_cancelled", "voice_changed", "warning"]
    assert (told[0]["sample_rate_hertz"], told[0]["audio_encoding"]) == (32000, "pcm_s16")
    assert told[-1]["samples"] == len(audio) // 2
    assert starts == sorted(starts)
    assert closed.code == 1000
    config = rig.live.configs[0]
    assert config.max_ahead_s == 60.0
    assert (config.speech.language, config.speech.sampling) == (Language("en"), SamplingParams(seed=7))
    assert config.speech.timestamps == {TimestampKind.WORD}
    assert rig.live.heard == [
        LiveText("two words"),
        Flush(),
        SwitchVoice("slate", SwitchPoint.NOW, 20),
        SwitchVoice("ghost"),
        SetSpeakingRate(1.5),
        Playhead(100),
        CancelUtterance(),
    ]
    assert (rig.live.released, rig.count(LIVE, "OK")) == (1, 1)


async def test_defaults_are_those_of_grpc(rig):
    async with rig.socket("/v1/live") as socket:
        await say(socket, CONFIG, {"type": "end"})
        await hear(socket)
    speech = rig.live.configs[0].speech
    assert (speech.language, speech.audio.encoding) == (Language("", LanguageMode.AUTO), AudioEncoding.PCM_S16)
    assert (speech.speaking_rate, speech.pause_s, rig.live.configs[0].max_ahead_s) == (1.0, None, None)


@pytest.mark.parametrize(
    ("messages", "reason", "says"),
    [
        (["{"], "INVALID_REQUEST", "not JSON"),
        ([b"\0"], "INVALID_REQUEST", "text frames"),
        (
            ['{"type": "text", "text": "x"}'],
            "INVALID_REQUEST",
            "the first message of a live stream is config, not text",
        ),
        (['{"type": "dance"}'], "INVALID_REQUEST", "'config', 'text'"),
        (['{"type": "config"}'], "INVALID_REQUEST", "voice_id: must be set"),
        (['{"type": "config", "voice_id": "../x"}'], "INVALID_REQUEST", "does not match"),
        (['{"type": "config", "voice_id": "x", "max_ahead_ms": 1}'], "INVALID_REQUEST", "greater than or equal to 100"),
        ([json.dumps(CONFIG), json.dumps(CONFIG)], "INVALID_REQUEST", "one config"),
        ([json.dumps(CONFIG), '{"type": "playhead", "sample": -1}'], "INVALID_REQUEST", "playhead.sample"),
        ([json.dumps(CONFIG), '{"type": "text", "text": "\\ud800"}'], "INVALID_REQUEST", "half of a character"),
        (['{"type": "config", "voice_id": "ghost"}'], "VOICE_NOT_FOUND", "'ghost' is not in the store"),
    ],
)
async def test_what_cannot_be_said_is_told_and_ends_the_stream(rig, messages, reason, says):
    async with rig.socket("/v1/live") as socket:
        for message in messages:
            await socket.send(message)
        told, _, _, closed = await hear(socket)
    assert (told[-1]["type"], told[-1]["reason"]) == ("error", reason)
    assert says in told[-1]["detail"]
    assert (closed.code, closed.reason) == (1008, reason)
    assert rig.live.released == len(rig.live.configs)


async def test_a_failure_of_ours_has_its_own_code_and_no_secrets(rig):
    rig.live.failures.append(errors.EngineError("secret"))
    async with rig.socket("/v1/live") as socket:
        await say(socket, CONFIG)
        told, _, _, closed = await hear(socket)
    assert (told[-1]["reason"], closed.code) == ("INTERNAL", 1011)
    assert "secret" not in str(told)


async def test_who_goes_away_frees_the_engine(rig, lines):
    async with rig.socket("/v1/live") as socket:
        await say(socket, CONFIG, {"type": "text", "text": "two words"})
        await socket.recv()
    await rig.live.until(lambda: rig.live.released == 1)
    assert (await lines.http())["code"] == "CANCELLED"


async def test_a_refusal_before_the_handshake_is_a_problem(rig, start, tmp_path):
    with pytest.raises(InvalidStatus) as refused:
        async with rig.socket("/v1/live", origin="http://evil.example"):
            pass
    assert refused.value.response.status_code == 403
    assert json.loads(refused.value.response.body)["reason"] == "FOREIGN_PAGE"
    with pytest.raises(InvalidStatus):
        async with rig.socket("/v1/nowhere"):
            pass


async def test_a_page_may_show_its_key_in_a_subprotocol(start, tmp_path):
    secret = create_key(tmp_path / "keys.toml", "page", [Scope.SPEAK])
    async with start(authenticator=Authenticator(tmp_path / "keys.toml")) as rig:
        with pytest.raises(InvalidStatus) as refused:
            async with rig.socket("/v1/live"):
                pass
        assert refused.value.response.status_code == 401
        async with rig.socket("/v1/live", subprotocols=["voxswap.v1", f"voxswap.key.{secret}"]) as socket:
            assert socket.subprotocol == "voxswap.v1"
            await say(socket, CONFIG, {"type": "end"})
            assert (await hear(socket))[0][-1]["type"] == "done"


async def test_residency_is_watched(rig):
    await rig.admin.load_voice("narrator")
    async with rig.socket("/v1/events") as socket:
        told = json.loads(await socket.recv())
        assert told["type"] == "residents"
        assert [one["voice_id"] for one in told["residents"]] == ["narrator"]
        await rig.admin.changes.until(lambda: rig.admin.watchers)
        await rig.admin.load_voice("slate")
        told = json.loads(await socket.recv())
        assert (told["type"], told["kind"], told["voice_id"], told["tier"]) == ("resident", "loaded", "slate", "device")
    await rig.admin.changes.until(lambda: not rig.admin.watchers)


async def test_draining_sends_watchers_away(rig):
    async with rig.socket("/v1/events") as socket:
        await socket.recv()
        await rig.server.drain()
        told, _, _, closed = await hear(socket)
        assert (told[-1]["reason"], closed.code) == ("DRAINING", 1012)
