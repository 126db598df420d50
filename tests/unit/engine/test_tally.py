"""What is told of a request at its end follows from what was booked of it before."""

import pytest

from voxswap_server.engine.estimates import Demand
from voxswap_server.engine.output import Encoded
from voxswap_server.engine.sent import Sent
from voxswap_server.engine.tally import Tally

RATE_HZ = 1000


class Numbers:
    def first_audio(self, seconds, *, warm, trace_id=""):
        self.first = (seconds, warm)

    def audio(self, seconds):
        pass


def tally(demand=None, queue_s=0.5):
    """Of a request that was accepted at 10 s and waited for its turn."""
    return Tally(10.0, Sent(Numbers()), demand, queue_s)


def test_what_is_sent_late_is_an_underrun_and_what_was_waited_for_is_not_work():
    one = tally()
    first = one.chunk(Encoded(b"ab", 400), RATE_HZ, 11.0, warm=True)
    second = one.chunk(Encoded(b"cd", 600), RATE_HZ, 11.5, warm=True)  # a tenth of a second after the first was played
    assert (first.start_sample, second.start_sample) == (0, 400)
    assert one.sent.metrics.first == (1.0, True)
    done = one.done(RATE_HZ, 12.5)
    assert (done.samples, done.ttfa_ms, done.queue_ms) == (1000, 1000.0, 500.0)
    assert done.underrun_ms == pytest.approx(100)
    assert done.rtf == pytest.approx(2.0)  # 2.5 s from its acceptance, half a second in the queue, for 1 s of audio


def test_a_demand_is_told_how_far_it_is_also_by_what_a_codec_still_keeps():
    demand = Demand(device_s=1.0, audio_s=2.0)
    one = tally(demand)
    assert one.chunk(Encoded(b"", 500), RATE_HZ, 11.0, warm=True) is None
    assert demand.left_s == 0.75
    assert one.playback.started_s is None  # nobody has heard anything yet


def test_a_request_without_audio_has_no_factor_of_time():
    done = tally().done(RATE_HZ, 11.0)
    assert (done.samples, done.rtf, done.ttfa_ms) == (0, 0.0, 0.0)
