"""A listener's silence is counted as it would be heard."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bench.load.listener import Listener


def test_audio_in_time_has_no_underrun():
    listener = Listener(asked_s=10.0)
    listener.audio(10.5, 1.0)
    listener.audio(11.4, 1.0)
    assert listener.ttfa_s == pytest.approx(0.5)
    assert (listener.underruns, listener.underrun_s) == (0, 0.0)
    assert listener.gaps_s == pytest.approx([0.9])


def test_late_audio_is_silence_and_shifts_what_follows():
    listener = Listener(asked_s=0.0)
    listener.audio(1.0, 0.5)  # lasts until 1.5
    listener.audio(2.0, 0.5)  # half a second late; lasts until 2.5
    listener.audio(2.4, 0.5)  # in time
    listener.audio(3.5, 0.5)  # dry since 3.0
    assert listener.underruns == 2
    assert listener.underrun_s == pytest.approx(1.0)


def test_a_flush_without_samples_is_not_heard():
    listener = Listener(asked_s=0.0)
    listener.audio(1.0, 0.0)
    assert listener.ttfa_s is None


@given(pieces=st.lists(st.tuples(st.floats(0, 5), st.floats(0.01, 5)), min_size=1, max_size=30))
def test_playback_ends_when_audio_and_silence_are_through(pieces: list[tuple[float, float]]):
    """Played second by second in another way: each piece starts when it has come and the one before has ended."""
    listener, now_s, ends_s, first_s = Listener(asked_s=0.0), 0.0, 0.0, None
    for pause_s, duration_s in pieces:
        now_s += pause_s
        listener.audio(now_s, duration_s)
        first_s = now_s if first_s is None else first_s
        ends_s = max(now_s, ends_s) + duration_s
    assert first_s is not None
    assert first_s + listener.heard_s + listener.underrun_s == pytest.approx(ends_s)
