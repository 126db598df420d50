"""The listener's arithmetic."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from voxswap_server.engine.playback import Playback


def test_a_stream_that_keeps_up_has_no_underrun() -> None:
    playback = Playback()
    for now_s in (10.5, 11.0, 12.0):
        playback.sent(1.0, now_s)
    assert playback.started_s == 10.5
    assert playback.underrun_s == 0.0


def test_waiting_in_mid_stream_is_counted_once() -> None:
    playback = Playback()
    assert playback.dry_s is None
    playback.sent(1.0, 0.0)
    assert playback.dry_s == 1.0
    playback.sent(1.0, 3.0)  # dry from 1 to 3
    playback.sent(1.0, 4.5)  # the second chunk lasted from 3 to 4: dry for half a second more
    assert playback.underrun_s == pytest.approx(2.5)
    assert playback.underruns == 2
    assert playback.dry_s == pytest.approx(5.5)


@given(st.lists(st.tuples(st.floats(0.01, 5), st.floats(0, 5)), min_size=1, max_size=20))
def test_the_listener_ends_when_all_audio_and_all_waits_are_over(chunks: list[tuple[float, float]]) -> None:
    playback, now_s, end_s = Playback(), 0.0, 0.0
    for audio_s, gap_s in chunks:
        now_s += gap_s
        end_s = max(end_s, now_s) + audio_s
        playback.sent(audio_s, now_s)
    assert playback.started_s is not None
    assert playback.started_s + playback.sent_s + playback.underrun_s == pytest.approx(end_s)
    assert playback.dry_s == pytest.approx(end_s)
    assert playback.lead_s(now_s) == pytest.approx(end_s - now_s)


def test_a_listener_that_tells_what_it_has_left_is_believed() -> None:
    playback = Playback()
    playback.told(3.0, 0.0)
    assert playback.lead_s(0.0) == 0.0  # nothing was sent yet
    playback.sent(2.0, 1.0)
    playback.told(1.5, 2.0)  # it began half a second late
    assert playback.lead_s(2.0) == 1.5
    playback.sent(1.0, 4.0)
    assert (playback.underruns, playback.underrun_s) == (1, 0.5)


def test_who_rests_is_not_kept_waiting() -> None:
    playback = Playback()
    playback.sent(1.0, 0.0)
    playback.rest()
    playback.sent(1.0, 5.0)
    assert (playback.underruns, playback.underrun_s) == (0, 0.0)
    assert (playback.started_s, playback.dry_s, playback.sent_s) == (0.0, 6.0, 2.0)
