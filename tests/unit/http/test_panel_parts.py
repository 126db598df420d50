"""What a panel session is made of: lines, voices on their way, the timeline, the audience."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from voxswap_server.errors import CapacityError, RequestError
from voxswap_server.http.panel.audience import BACKLOG, Audience, TooSlow
from voxswap_server.http.panel.config import PanelConfig
from voxswap_server.http.panel.desk import VoiceDesk
from voxswap_server.http.panel.lines import Lines, TooManyLines
from voxswap_server.http.panel.timeline import Timeline, levels
from voxswap_server.http.problems import NoSuchLine, Repeated

RATE_HZ = 48000


class Clock:
    def __init__(self):
        self.now_s = 100.0

    def __call__(self):
        return self.now_s


@pytest.fixture
def clock():
    return Clock()


@pytest.fixture
def lines(clock):
    return Lines(PanelConfig(max_queue=3, max_text_characters=20, user_lines=2), clock)


def test_lines_come_in_order_and_the_oldest_makes_room(lines):
    for text in ("one", "two", "three"):
        assert lines.offer(text)[1] == []
    line, dropped = lines.offer("four")
    assert (line.number, [one.text for one in dropped]) == (4, ["one"])
    assert [lines.take().text for _ in range(3)] == ["two", "three", "four"]
    assert lines.take() is None


def test_the_same_is_not_said_twice_at_once(lines, clock):
    lines.offer("Hello  there!")
    with pytest.raises(Repeated, match="30 s ago"):
        lines.offer(" hello THERE! ")
    clock.now_s += 31
    assert lines.offer("hello there!")[0].number == 2


def test_nobody_talks_all_the_time(lines, clock):
    lines.offer("one", user="ann")
    clock.now_s += 10
    lines.offer("two", user="ann")
    lines.offer("three", user="bob")
    with pytest.raises(TooManyLines) as refused:
        lines.offer("four", user="ann")
    assert refused.value.retry_after_s == 20
    clock.now_s += 20
    lines.offer("four", user="ann")


def test_users_without_a_name_are_not_one_user(lines):
    for text in "abcde":
        lines.offer(text)


@pytest.mark.parametrize("text", ["", "  ", "?!", "x" * 21])
def test_a_line_must_be_one(lines, text):
    with pytest.raises(RequestError) as refused:
        lines.offer(text)
    assert refused.value.field == "text"
    assert lines.waiting == ()


def test_lines_wait_for_approval_and_let_others_pass(lines):
    held, _ = lines.offer("held", approved=False)
    lines.offer("free")
    assert lines.take().text == "free"
    assert lines.take() is None
    lines.approve(held.number)
    assert lines.take().text == "held"
    lines.offer("one", approved=False)
    lines.offer("two", approved=False)
    lines.approve_all()
    assert lines.take().text == "one"


def test_lines_may_be_taken_back(lines):
    one, _ = lines.offer("one")
    lines.offer("two")
    assert lines.remove(one.number).text == "one"
    with pytest.raises(NoSuchLine, match="line 1 does not wait; waiting: 2"):
        lines.remove(one.number)
    assert [line.text for line in lines.clear()] == ["two"]


@given(st.lists(st.sampled_from(["send", "pause", "resume", "flush", "wait"]), max_size=40))
def test_the_playhead_never_goes_back_and_never_passes_what_was_sent(steps):
    clock = Clock()
    timeline, heard = Timeline(RATE_HZ, clock), 0
    for step in steps:
        if step == "send":
            timeline.send(4800)
        elif step == "wait":
            clock.now_s += 0.03
        elif step == "pause" and not timeline.paused:
            timeline.pause()
        elif step == "resume" and timeline.paused:
            timeline.resume()
        elif step == "flush":
            timeline.flush()
        assert heard <= timeline.heard <= timeline.sent
        heard = timeline.heard


def test_a_paused_timeline_stands_still(clock):
    timeline = Timeline(RATE_HZ, clock)
    timeline.send(RATE_HZ)
    clock.now_s += 0.25
    assert timeline.heard == RATE_HZ // 4
    timeline.pause()
    clock.now_s += 10
    assert timeline.heard == RATE_HZ // 4
    timeline.resume()
    clock.now_s += 0.25
    assert timeline.heard == RATE_HZ // 2
    clock.now_s += 10
    assert (timeline.heard, timeline.ahead_s) == (RATE_HZ, 0)


def test_a_mouth_is_shut_in_silence_and_wide_open_when_it_is_loud():
    wave = np.sin(np.arange(2 * 960) / 10)
    quiet, loud = (0.02 * 32767 * wave).astype(np.int16), (0.9 * 32767 * wave).astype(np.int16)
    assert levels(np.zeros(960, np.int16), RATE_HZ) == [0.0]
    assert levels(loud, RATE_HZ) == [1.0, 1.0]
    assert all(0.1 < level < 0.6 for level in levels(quiet, RATE_HZ))
    assert len(levels(loud[:1000], RATE_HZ)) == 2
    assert levels(loud[:0], RATE_HZ) == []


def test_a_voice_has_the_word_when_its_moment_comes():
    desk = VoiceDesk()
    assert not desk.anyone
    desk.switching = "ann"
    assert desk.anyone
    assert desk.arrive("ann")
    assert not desk.arrive("bob")
    desk.arm("bob")
    assert (desk.current, desk.coming) == ("ann", "ann")
    assert not desk.take_over()
    desk.loaded("cat")
    assert not desk.take_over()
    desk.loaded("bob")
    assert (desk.current, desk.coming) == ("ann", "bob")
    desk.arm("bob")  # it may have been evicted since
    assert not desk.take_over()
    desk.loaded("bob")
    assert desk.take_over()
    assert not desk.take_over()
    assert desk.current == "bob"


def test_a_voice_that_cannot_be_had_changes_nothing():
    desk = VoiceDesk("ann", armed="bob", switching="cat")
    desk.give_up("dan")
    assert (desk.armed, desk.switching) == ("bob", "cat")
    desk.give_up("bob")
    desk.give_up("cat")
    assert (desk.current, desk.armed, desk.switching) == ("ann", "", "")


def test_where_there_is_no_other_voice_the_next_sentence_waits_for_it():
    desk = VoiceDesk()
    desk.arm("ann")
    assert desk.coming == "ann"
    assert desk.take_over()


async def test_everyone_hears_what_they_asked_for():
    audience = Audience(2)
    page, lips = audience.join(audio=True, levels=False), audience.join(audio=False, levels=True)
    with pytest.raises(CapacityError):
        audience.join(audio=True, levels=True)
    audience.tell({"type": "state"})
    audience.play(b"audio", {"type": "levels"})
    assert [await page.next(), await page.next()] == [{"type": "state"}, b"audio"]
    assert [await lips.next(), await lips.next()] == [{"type": "state"}, {"type": "levels"}]
    audience.leave(page)
    assert len(audience) == 1
    lips.leave()
    assert await lips.next() is None


async def test_nobody_waits_for_the_slowest():
    audience = Audience(2)
    slow = audience.join(audio=True, levels=False)
    for _ in range(BACKLOG + 1):
        audience.play(b"x", {})
    with pytest.raises(TooSlow):
        await slow.next()
    slow.leave()
