"""When a job was in which stage: one stretch a stage, however its calls interleave."""

from hypothesis import given
from hypothesis import strategies as st

from voxswap_server.engine.timeline import Timeline


class Recorded:
    """As much of tracing as a timeline needs."""

    def __init__(self):
        self.spans = []

    def past(self, name, start_s, end_s, **attributes):
        self.spans.append((name, start_s, end_s, attributes))


def test_a_stage_is_one_span_from_its_first_call_to_its_last():
    timeline, recorded = Timeline(), Recorded()
    timeline.add("t2s", 1.0, 1.5)
    timeline.add("decode", 1.5, 2.0)
    timeline.add("t2s", 2.0, 2.25)
    timeline.trace(recorded)
    assert recorded.spans == [
        ("t2s", 1.0, 2.25, {"calls": 2, "busy_s": 0.75}),
        ("decode", 1.5, 2.0, {"calls": 1, "busy_s": 0.5}),
    ]


def test_a_job_that_never_ran_has_no_spans():
    recorded = Recorded()
    Timeline().trace(recorded)
    assert recorded.spans == []


calls = st.tuples(st.sampled_from(["t2s", "decode", "front-end"]), st.integers(0, 1000), st.integers(0, 50))


@given(st.lists(calls, min_size=1))
def test_every_call_lies_within_the_stretch_of_its_stage(some):
    timeline = Timeline()
    for stage, start, length in some:
        timeline.add(stage, float(start), float(start + length))
    for stage, stretch in timeline.stretches.items():
        mine = [(start, start + length) for name, start, length in some if name == stage]
        assert (stretch.first_s, stretch.last_s) == (min(mine)[0], max(end for _, end in mine))
        assert (stretch.calls, stretch.busy_s) == (len(mine), float(sum(end - start for start, end in mine)))
