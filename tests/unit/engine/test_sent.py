"""The chunks of an answer are numbered without gaps, and the numbers are told of each of them."""

from dataclasses import dataclass, field

import pytest
from hypothesis import given
from hypothesis import strategies as st

from voxswap_server.engine.output import Encoded
from voxswap_server.engine.sent import Sent
from voxswap_server.logs import request_context
from voxswap_server.tracing import NoTracing

RATE_HZ = 1000


@dataclass
class Numbers:
    first: list[tuple[float, bool, str]] = field(default_factory=list)
    audio_s: float = 0.0

    def first_audio(self, seconds, *, warm, trace_id=""):
        self.first.append((seconds, warm, trace_id))

    def audio(self, seconds):
        self.audio_s += seconds


class Events(NoTracing):
    def __init__(self):
        self.told = []

    def event(self, name, **attributes):
        self.told.append((name, attributes))


def test_the_first_chunk_is_timed_and_no_other():
    numbers, events = Numbers(), Events()
    sent = Sent(numbers, events)
    with request_context("r-1", "t-1"):
        assert sent.book(Encoded(b"", 7), RATE_HZ, 10.5, asked_s=10.0, warm=False) is None
        first = sent.book(Encoded(b"ab", 3), RATE_HZ, 11.0, asked_s=10.0, warm=False)
        second = sent.book(Encoded(b"c", 5), RATE_HZ, 12.0, asked_s=10.0, warm=False)
    assert (first.start_sample, first.samples, first.sequence) == (7, 3, 0)
    assert (second.start_sample, second.samples, second.sequence) == (10, 5, 1)
    assert numbers.first == [(1.0, False, "t-1")]
    assert events.told == [("first audio", {"ttfa_s": 1.0, "warm": False})]
    assert sent.ttfa_s == 1.0


def test_what_nobody_asked_for_has_no_first_audio():
    numbers = Numbers()
    sent = Sent(numbers)
    assert sent.book(Encoded(b"head of a container", 0), RATE_HZ, 3.0, asked_s=None, warm=True) is not None
    assert (sent.ttfa_s, numbers.first) == (None, [])


@given(st.lists(st.builds(Encoded, st.binary(max_size=2), st.integers(0, 9))))
def test_no_sample_is_told_twice_and_none_is_lost(pieces):
    numbers = Numbers()
    sent = Sent(numbers)
    booked = [sent.book(piece, RATE_HZ, 1.0, asked_s=0.0, warm=True) for piece in pieces]
    chunks = [chunk for chunk in booked if chunk is not None]
    assert [chunk.sequence for chunk in chunks] == list(range(len(chunks)))
    assert b"".join(chunk.data for chunk in chunks) == b"".join(piece.data for piece in pieces)
    starts = [sum(piece.samples for piece in pieces[:number]) for number, piece in enumerate(pieces) if piece.data]
    assert [chunk.start_sample for chunk in chunks] == starts
    assert sent.samples == sum(piece.samples for piece in pieces)
    assert numbers.audio_s * RATE_HZ == pytest.approx(sum(chunk.samples for chunk in chunks))
    assert len(numbers.first) == bool(chunks)
