"""What is told of a live stream at its end follows from what was booked of it before."""

from voxswap_server.engine.live.tally import LiveTally
from voxswap_server.engine.output import Encoded
from voxswap_server.engine.playback import Playback
from voxswap_server.engine.sent import Sent

RATE_HZ = 1000


class Numbers:
    def first_audio(self, seconds, *, warm, trace_id=""):
        self.first = (seconds, warm)

    def audio(self, seconds):
        pass


def test_first_audio_counts_from_the_first_take_and_is_warm_where_no_voice_was_loaded():
    for load_ms, warm in ((0.0, True), (3.0, False)):
        numbers = Numbers()
        tally = LiveTally(Sent(numbers), load_ms)
        tally.asked_s = 10.0
        chunk = tally.chunk(Encoded(b"ab", 400), RATE_HZ, 10.5)
        assert (chunk.start_sample, chunk.samples, numbers.first) == (0, 400, (0.5, warm))
        assert tally.done(Playback()).ttfa_ms == 500.0


def test_what_was_made_and_not_sent_counts_as_work_and_not_as_sound():
    tally = LiveTally(Sent(Numbers()))
    tally.chunk(Encoded(b"ab", 400), RATE_HZ, 10.5)
    tally.made_s, tally.took_s, tally.utterances, tally.semantic_tokens = 2.0, 0.5, 3, 50
    done = tally.done(Playback(underrun_s=0.25))
    assert (done.samples, done.rtf, done.underrun_ms) == (400, 0.25, 250.0)
    assert (done.utterances, done.semantic_tokens) == (3, 50)


def test_a_stream_in_which_nothing_was_asked_for_is_told_too():
    done = LiveTally(Sent(Numbers())).done(Playback())
    assert (done.samples, done.rtf, done.ttfa_ms) == (0, 0.0, 0.0)
