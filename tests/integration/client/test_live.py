"""Live sessions of both clients and the command, over a real connection to a fake engine."""

import asyncio
import queue

import pytest
from typer.testing import CliRunner

from voxswap_client import (
    AudioChunk,
    AudioEncoding,
    LiveSession,
    StreamStarted,
    SwitchPoint,
    SynthesisDone,
    UtteranceCancelled,
    VoiceChanged,
    VoiceNotFound,
)
from voxswap_client.cli.live import Clockwork
from voxswap_server.cli.main import app
from voxswap_server.domain_live import (
    CancelUtterance,
    Flush,
    LiveText,
    Playhead,
    SetSpeakingRate,
    SwitchVoice,
)
from voxswap_server.domain_live import SwitchPoint as ServerPoint


def kinds(events):
    return [type(event) for event in events]


async def test_a_session_says_and_hears(server, aclient):
    async with aclient.live("narrator", max_ahead_s=1.5) as session:
        session.say("one two ")
        session.switch("slate", SwitchPoint.NOW, crossfade_ms=30)
        session.set_speaking_rate(1.5)
        session.playhead(7)
        session.flush()
        events = []
        async for event in session:
            events.append(event)
            if isinstance(event, VoiceChanged):
                session.stop()
                session.end()
    assert kinds(events)[0] is StreamStarted
    assert kinds(events)[-1] is SynthesisDone
    assert UtteranceCancelled in kinds(events)
    assert server.live.heard == [
        LiveText("one two "),
        SwitchVoice("slate", ServerPoint.NOW, 30),
        SetSpeakingRate(1.5),
        Playhead(7),
        Flush(),
        CancelUtterance(),
    ]
    assert server.live.configs[0].max_ahead_s == 1.5


async def test_leaving_a_session_cancels_it(server, aclient):
    async with aclient.live("narrator") as session:
        assert isinstance(await anext(aiter(session)), StreamStarted)
    server_side = server.live.until(lambda: server.live.released == 1)
    await asyncio.to_thread(server.on_loop, server_side)


async def test_a_voice_that_is_not_there_is_told_as_always(server, aclient):
    async with aclient.live("nobody") as session:
        with pytest.raises(VoiceNotFound):
            await anext(aiter(session))


def test_a_session_of_threads(server, client):
    with client.live("narrator") as session:
        session.say("three small words")
        session.end()
        events = list(session)
    assert kinds(events) == [StreamStarted, AudioChunk, AudioChunk, AudioChunk, SynthesisDone]
    with client.live("narrator") as session:
        assert isinstance(next(iter(session)), StreamStarted)
    server.on_loop(server.live.until(lambda: server.live.released == 2))


@pytest.fixture
def command(server, tmp_path):
    """Runs `live` into a file."""

    def run(typed, *options):
        file = tmp_path / "said.pcm"
        arguments = ["live", "--voice", "narrator", "-o", str(file), "--address", server.address, *options]
        result = CliRunner().invoke(app, arguments, input=typed)
        return result, file

    return run


def test_each_line_is_spoken(server, command):
    result, file = command("Hello there\n\n/voice slate phrase\n/speed 1.2\nand again\n/stop\n/quit\nnot this\n")
    assert result.exit_code == 0, result.output
    assert server.live.heard == [
        LiveText("Hello there\n"),
        Flush(),
        SwitchVoice("slate", ServerPoint.NEXT_PHRASE, 60),
        SetSpeakingRate(1.2),
        LiveText("and again\n"),
        Flush(),
        CancelUtterance(),
    ]
    assert "slate from" in result.output
    assert "stopped after" in result.output
    assert f"{len(file.read_bytes()) / 64000:.2f} s spoken" in result.output


def test_a_command_that_makes_no_sense_is_explained_and_the_session_goes_on(server, command):
    result, _ = command("/voice\n/voice slate soon\n/speed\n/speed fast\n/louder\n/help\nHello\n")
    assert result.exit_code == 0, result.output
    assert "/voice needs an id" in result.output
    assert "/speed needs a factor" in result.output
    assert "could not convert" in result.output
    assert "no command /louder" in result.output
    assert [type(message) for message in server.live.heard] == [LiveText, Flush]


def test_a_warning_is_shown_and_an_unknown_voice_ends_the_command(server, command):
    result, file = command("/voice nobody\nHello\n")
    assert "VOICE_NOT_FOUND" in result.output
    file.unlink()
    result, file = command("Hello\n", "--voice", "nobody")
    assert result.exit_code == 2
    assert not file.exists()


def test_a_player_is_followed_by_the_clock():
    told = queue.SimpleQueue()

    class Session(LiveSession):
        def playhead(self, sample):
            told.put(sample)

    clock = Clockwork(Session())
    clock.heard(StreamStarted("r", "narrator", AudioEncoding.WAV, 1000, 1, 1, "device", 0.0, 7))
    assert told.get(timeout=10) == 0  # nothing was sent, so nothing is heard
    clock.heard(AudioChunk(b"", 0, 50, 0))
    while (played := told.get(timeout=10)) < 50:
        assert played >= 0
    assert played == 50  # never beyond what was sent
    clock.heard(SynthesisDone(50, 1.0, 0.1, 0.0, 0.0, 1, 1))
