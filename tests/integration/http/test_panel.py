"""A panel session, steered over plain HTTP and watched over a WebSocket."""

import asyncio
import json
from contextlib import asynccontextmanager

import pytest

from tests.fixtures.fake_engine import Changes
from voxswap_server import errors
from voxswap_server.http.panel.config import PanelConfig

CONFIG = PanelConfig(default_voice="narrator", max_queue=3, duplicate_s=30, user_lines=2)


class Watcher(Changes):
    """Everything that a listener is told."""

    def __init__(self, socket):
        super().__init__()
        self.socket = socket
        self.told = []
        self.audio = []
        """(first sample, 16-bit samples as bytes)"""

    async def read(self):
        frame = await self.socket.recv()
        if isinstance(frame, str):
            self.told.append(json.loads(frame))
        else:
            self.audio.append((int.from_bytes(frame[:8], "little"), frame[8:]))

    def of(self, kind):
        return [message for message in self.told if message["type"] == kind]

    async def hear(self, kind, **members):
        """Reads until something of this kind, with these members, has been told."""

        def found():
            return [one for one in self.of(kind) if members.items() <= one.items()]

        while not found():
            await self.read()
        return found()[0]

    @property
    def state(self):
        return self.of("state")[-1]


@asynccontextmanager
async def watching(rig, query="?audio=1"):
    async with rig.socket(f"/v1/panel/socket{query}") as socket:
        watcher = Watcher(socket)
        await watcher.hear("state")
        yield watcher


@pytest.fixture
async def rig(start):
    async with start(panel=CONFIG) as rig:
        yield rig


async def act(rig, action, status=200, method="GET", **given):
    how = {"params": given} if method == "GET" else {"json": given}
    answer = await rig.client.request(method, f"/v1/panel/{action}", **how)
    assert answer.status_code == status, answer.text
    return answer.json()


@pytest.mark.parametrize("method", ["GET", "POST"])
async def test_a_line_is_spoken_to_everyone_who_watches(rig, method):
    async with watching(rig, "?audio=1&levels=1") as page, watching(rig, "") as silent:
        answer = await act(rig, "say", method=method, text=" Hi   you. So. ", user="ann")
        assert (answer["ok"], answer["line"]) == (True, 1)
        done = await page.hear("line_done")
        assert (done["line"], done["outcome"]) == (1, "spoken")
        sentences = page.of("sentence")
        assert [(one["text"], one["voice_id"], one["user"]) for one in sentences] == [
            ("Hi you. ", "narrator", "ann"),
            ("So.", "narrator", "ann"),
        ]
        assert sentences[0]["start_sample"] == 0
        # Two letters and four, three letters: a tenth of a second each, at 48 kHz.
        assert sentences[1]["start_sample"] == 28800
        assert page.audio[0][0] == 0
        assert sum(len(pcm) for _, pcm in page.audio) == 2 * (28800 + 14400)
        assert all(len(pcm) <= 2 * 4800 for _, pcm in page.audio)
        told = page.of("levels")
        assert [one["start_sample"] for one in told] == [start for start, _ in page.audio]
        assert max(told[0]["levels"]) > 0.5
        assert told[0]["step_samples"] == 960
        await silent.hear("line_done")
        assert silent.audio == []
        assert silent.of("levels") == []
    assert {asked.audio.sample_rate_hz for asked in rig.synthesizer.requests} == {48000}


async def test_audio_is_sent_no_faster_than_it_is_heard(start):
    # The clock stands still, so nothing is ever heard.
    async with start(panel=CONFIG, clock=lambda: 100.0) as rig, watching(rig) as page:
        await act(rig, "say", text="abcdefghijklmnop")
        while len(page.audio) < 3:
            await page.read()
        state = (await act(rig, "state"))["state"]
        assert 3 * 4800 <= state["next_sample"] <= 4 * 4800  # frames, of 16
        await act(rig, "skip")
        await page.hear("line_done", outcome="skipped")


async def test_who_switches_in_silence_is_meant_for_the_next_line(rig):
    async with watching(rig) as page:
        await act(rig, "switch", voice="slate")
        changed = await page.hear("voice_changed")
        assert (changed["voice_id"], changed["start_sample"]) == ("slate", 0)
        await act(rig, "say", text="Hi.")
        assert (await page.hear("sentence"))["voice_id"] == "slate"
        assert "slate" in rig.admin.residents


async def test_a_cut_says_the_sentence_again_in_the_new_voice(rig):
    rig.synthesizer.endless.add("narrator")
    async with watching(rig) as page:
        await act(rig, "say", text="One. Two.")
        await page.hear("sentence")
        await page.read()
        await act(rig, "switch", voice="slate", at="now")
        flush = await page.hear("flush")
        assert flush["heard_sample"] <= flush["next_sample"]
        await page.hear("line_done", outcome="spoken")
        assert [(one["text"], one["voice_id"]) for one in page.of("sentence")] == [
            ("One. ", "narrator"),
            ("One. ", "slate"),
            ("Two.", "slate"),
        ]
        assert page.of("sentence")[1]["start_sample"] == flush["next_sample"]
        assert page.state["voice_id"] == "slate"
        assert page.state["switching"] == ""
    assert rig.synthesizer.released == len(rig.synthesizer.requests)


async def test_panic_after_a_cut_ends_what_was_cut_to(rig):
    rig.synthesizer.endless |= {"narrator", "slate"}
    async with watching(rig) as page:
        await act(rig, "say", text="One.")
        await page.hear("sentence")
        await act(rig, "switch", voice="slate", at="now")
        await page.hear("sentence", voice_id="slate")
        await act(rig, "panic")
        await page.hear("line_done", outcome="skipped")
        await rig.synthesizer.until(lambda: rig.synthesizer.released == 2)


async def test_an_armed_voice_waits_for_the_next_sentence(rig):
    async with watching(rig) as page:
        rig.synthesizer.stalls.add(0)
        await act(rig, "say", text="One. Two.")
        await rig.synthesizer.until(lambda: rig.synthesizer.stalled)
        assert (await act(rig, "switch", voice="slate", at="next"))["state"]["armed"] == "slate"
        rig.synthesizer.go.set()
        await page.hear("line_done", outcome="spoken")
        assert [one["voice_id"] for one in page.of("sentence")] == ["narrator", "slate"]
        assert page.of("flush") == []


async def test_an_armed_voice_that_still_loads_keeps_nobody_waiting(rig):
    rig.admin.gates["slate"] = asyncio.Event()
    async with watching(rig) as page:
        rig.synthesizer.stalls.add(0)
        await act(rig, "say", text="One. Two.")
        await rig.synthesizer.until(lambda: rig.synthesizer.stalled)
        await act(rig, "switch", voice="slate", at="next")
        rig.synthesizer.go.set()
        await page.hear("line_done", line=1, outcome="spoken")
        assert page.state["armed"] == "slate"
        rig.admin.gates["slate"].set()
        await rig.admin.changes.until(lambda: "slate" in rig.admin.residents)
        await act(rig, "say", text="Three.")
        await page.hear("line_done", line=2, outcome="spoken")
        assert [one["voice_id"] for one in page.of("sentence")] == ["narrator", "narrator", "slate"]


async def test_an_armed_voice_that_cannot_be_loaded_leaves_the_old_one_speaking(rig):
    rig.admin.known = ("narrator",)
    async with watching(rig) as page:
        rig.synthesizer.stalls.add(0)
        await act(rig, "say", text="One. Two.")
        await rig.synthesizer.until(lambda: rig.synthesizer.stalled)
        await act(rig, "switch", voice="slate", at="next")
        assert (await page.hear("warning"))["code"] == "VOICE_NOT_FOUND"
        rig.synthesizer.go.set()
        await page.hear("line_done", line=1, outcome="spoken")
        assert [one["voice_id"] for one in page.of("sentence")] == ["narrator", "narrator"]
        assert (page.state["voice_id"], page.state["armed"]) == ("narrator", "")


async def test_a_voice_that_cannot_be_had_leaves_the_old_one_speaking(rig):
    async with watching(rig) as page:
        assert (await act(rig, "switch", 404, voice="ghost"))["reason"] == "VOICE_NOT_FOUND"
        del rig.synthesizer.rates_hz["slate"]
        rig.synthesizer.stalls.add(1)
        await act(rig, "say", text="One two.")
        await rig.synthesizer.until(lambda: rig.synthesizer.stalled)
        await act(rig, "switch", voice="slate")
        assert (await page.hear("warning"))["code"] == "VOICE_NOT_FOUND"
        rig.synthesizer.go.set()
        await page.hear("line_done", outcome="spoken")
        assert [one["voice_id"] for one in page.of("sentence")] == ["narrator"]
        assert (page.state["voice_id"], page.state["switching"]) == ("narrator", "")


async def test_panic_ends_everything_at_once(rig):
    rig.synthesizer.endless.add("narrator")
    async with watching(rig) as page:
        for text in ("One.", "Two.", "Three."):
            await act(rig, "say", text=text)
        await page.hear("sentence")
        state = (await act(rig, "panic"))["state"]
        assert state["queue"] == []
        await page.hear("line_done", line=1, outcome="skipped")
        assert {one["line"]: one["outcome"] for one in page.of("line_done")} == {
            1: "skipped",
            2: "dropped",
            3: "dropped",
        }
        assert page.of("flush")
    assert rig.synthesizer.released == len(rig.synthesizer.requests)


async def test_a_skip_goes_on_with_the_next_line(rig):
    rig.synthesizer.endless.add("narrator")
    async with watching(rig) as page:
        await act(rig, "say", text="One.")
        await act(rig, "say", text="Two.", voice="slate")
        await page.hear("sentence")
        await act(rig, "skip")
        await page.hear("line_done", line=1, outcome="skipped")
        await page.hear("line_done", line=2, outcome="spoken")
        assert (await act(rig, "state"))["state"]["voice_id"] == "narrator"


async def test_a_pause_holds_the_queue(rig):
    async with watching(rig) as page:
        assert (await act(rig, "pause"))["state"]["paused"]
        await act(rig, "say", text="One.")
        assert not rig.synthesizer.requests
        assert not (await act(rig, "resume"))["state"]["paused"]
        await page.hear("line_done", outcome="spoken")


async def test_lines_wait_for_approval(rig):
    async with watching(rig) as page:
        await act(rig, "approval", on="true")
        for text in ("One.", "Two.", "Three."):
            state = (await act(rig, "say", text=text))["state"]
        assert [(line["text"], line["approved"]) for line in state["queue"]] == [
            ("One.", False),
            ("Two.", False),
            ("Three.", False),
        ]
        await act(rig, "approve", line=2)
        await page.hear("line_done", line=2, outcome="spoken")
        await act(rig, "remove", line=1)
        await page.hear("line_done", line=1, outcome="removed")
        assert (await act(rig, "remove", 404, line=1))["reason"] == "NO_SUCH_LINE"
        await act(rig, "clear")
        await page.hear("line_done", line=3, outcome="dropped")


async def test_what_is_refused_says_why(rig):
    await act(rig, "pause")
    await act(rig, "say", text="One.", user="ann")
    assert (await act(rig, "say", 409, text="one."))["reason"] == "REPEATED_LINE"
    await act(rig, "say", text="Two.", user="ann")
    refused = await act(rig, "say", 429, text="Three.", user="ann")
    assert refused["reason"] == "TOO_MANY_LINES"
    assert (await act(rig, "say", 400, text="?"))["errors"][0]["field"] == "text"
    assert (await act(rig, "say", 404, text="Four.", voice="ghost"))["reason"] == "VOICE_NOT_FOUND"
    assert (await act(rig, "switch", 400))["detail"] == "voice: must be set"
    assert (await act(rig, "state", 400, session="a b"))["errors"][0]["field"] == "session"


async def test_a_session_without_a_voice_says_so(start):
    async with start() as rig:
        assert "no voice was chosen" in (await act(rig, "say", 400, text="One."))["detail"]


async def test_the_queue_drops_its_oldest(rig):
    await act(rig, "pause")
    async with watching(rig) as page:
        for text in ("One.", "Two.", "Three.", "Four."):
            await act(rig, "say", text=text)
        await page.hear("line_done", line=1, outcome="dropped")
        state = (await act(rig, "state"))["state"]
        assert [line["text"] for line in state["queue"]] == ["Two.", "Three.", "Four."]


async def test_a_line_that_fails_is_told_and_the_next_is_spoken(rig):
    rig.synthesizer.failures[0] = errors.EngineError("secret")
    async with watching(rig) as page:
        await act(rig, "say", text="One.")
        failed = await page.hear("line_done", outcome="failed")
        assert (failed["line"], failed["reason"]) == (1, "INTERNAL")
        assert "secret" not in str(page.told)
        del rig.synthesizer.failures[0]
        await act(rig, "say", text="Two.")
        await page.hear("line_done", line=2, outcome="spoken")


async def test_a_page_acts_over_its_socket_too(rig):
    async with watching(rig) as page:
        for message in ({"action": "say", "id": 7, "text": "One."}, {"action": "dance", "id": 8}):
            await page.socket.send(json.dumps(message))
        assert (await page.hear("done", id=7))["line"] == 1
        assert "there is no action 'dance'; actions: switch, say" in (await page.hear("refused", id=8))["detail"]
        await page.socket.send(b"\0")
        await page.hear("refused", id=None)
        await page.hear("line_done", outcome="spoken")


async def test_sessions_do_not_hear_each_other(start):
    async with start(panel=PanelConfig(default_voice="narrator", max_sessions=2)) as rig:
        async with watching(rig, "?audio=1&session=left") as left, watching(rig, "?audio=1&session=right") as right:
            await act(rig, "say", text="One.", session="left")
            await left.hear("line_done", outcome="spoken")
            await act(rig, "say", text="One.", session="right")
            await right.hear("line_done", outcome="spoken")
            assert len(right.of("sentence")) == len(left.of("sentence")) == 1
        assert (await act(rig, "state", 429, session="third"))["reason"] == "OVER_CAPACITY"


async def test_a_session_that_nobody_misses_is_forgotten(start, lines):
    async with start(panel=PanelConfig(default_voice="narrator", max_sessions=1, idle_s=0.0)) as rig:
        async with watching(rig, "?session=left"):
            await act(rig, "state", 429, session="right")
        await lines.until(lambda: any(line["method"].startswith("WEBSOCKET") for line in lines.of("http")))
        await act(rig, "state", session="left")
        await act(rig, "state", session="right")


async def test_draining_ends_sessions_and_sends_watchers_away(rig):
    rig.synthesizer.endless.add("narrator")
    async with watching(rig) as page:
        await act(rig, "say", text="One.")
        await page.hear("sentence")
        await rig.server.drain()
        assert (await page.hear("error"))["reason"] == "DRAINING"
    assert rig.synthesizer.released == len(rig.synthesizer.requests)
