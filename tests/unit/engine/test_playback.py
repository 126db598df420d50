"""The listener's arithmetic."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from voxswap_server.engine.playback import Playback


def test_a_stream_that_keeps_up_has_no_underrun() -> None:
    playback = Playback(accepted_s=10.0)
    for now_s in (10.5, 11.0, 12.0):
        playback.sent(1.0, now_s)
    assert playback.started_s == 10.5
    assert playback.underrun_s == 0.0


def test_waiting_in_mid_stream_is_counted_once() -> None:
    playback = Playback(accepted_s=0.0)
    assert playback.dry_s is None
    playback.sent(1.0, 0.0)
    assert playback.dry_s == 1.0
    playback.sent(1.0, 3.0)  # dry from 1 to 3
    playback.sent(1.0, 4.5)  # the second chunk lasted from 3 to 4: dry for half a second more
    assert playback.underrun_s == pytest.approx(2.5)
    assert playback.dry_s == pytest.approx(5.5)


@given(st.lists(st.tuples(st.floats(0.01, 5), st.floats(0, 5)), min_size=1, max_size=20))
def test_the_listener_ends_when_all_audio_and_all_waits_are_over(chunks: list[tuple[float, float]]) -> None:
    playback, now_s, end_s = Playback(accepted_s=0.0), 0.0, 0.0
    for audio_s, gap_s in chunks:
        now_s += gap_s
        end_s = max(end_s, now_s) + audio_s
        playback.sent(audio_s, now_s)
    assert playback.started_s is not None
    assert playback.started_s + playback.sent_s + playback.underrun_s == pytest.approx(end_s)
