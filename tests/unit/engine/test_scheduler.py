"""The scheduler, as a table of situations and a few laws."""

from hypothesis import given
from hypothesis import strategies as st

from voxswap_server.engine.scheduler import Candidate, SchedulerConfig, deadline_of, pick

CONFIG = SchedulerConfig(max_step_rows=4, max_prefill_tokens=100)

candidates = st.lists(
    st.builds(
        Candidate,
        strand=st.integers(0, 1000),
        deadline_s=st.floats(0, 100, allow_nan=False),
        batch_key=st.sampled_from([None, "a", "b", "c"]),
        cost=st.integers(1, 120),
    ),
    unique_by=lambda candidate: candidate.strand,
    max_size=12,
)


def test_nothing_to_run() -> None:
    assert pick([], CONFIG) == []


def test_the_listener_who_runs_dry_first_goes_first() -> None:
    waiting = [Candidate(1, 9.0, None), Candidate(2, 3.0, None), Candidate(3, 5.0, None)]
    assert pick(waiting, CONFIG) == [2]


def test_rows_of_the_same_weights_ride_along_in_order_of_urgency() -> None:
    waiting = [Candidate(1, 9.0, "a"), Candidate(2, 3.0, "a"), Candidate(3, 1.0, "b"), Candidate(4, 0.5, "a")]
    assert pick(waiting, CONFIG) == [4, 2, 1]


def test_other_weights_lead_when_they_are_more_urgent() -> None:
    waiting = [Candidate(1, 2.0, "a"), Candidate(2, 1.0, "b"), Candidate(3, 3.0, "a")]
    assert pick(waiting, CONFIG) == [2]


def test_without_batching_every_row_runs_alone() -> None:
    waiting = [Candidate(1, 2.0, "a"), Candidate(2, 1.0, "a")]
    assert pick(waiting, SchedulerConfig(batching=False)) == [2]


def test_rows_and_positions_are_bounded() -> None:
    rows = [Candidate(job, float(job), "a") for job in range(10)]
    assert pick(rows, CONFIG) == [0, 1, 2, 3]
    heavy = [Candidate(1, 1.0, "p", cost=60), Candidate(2, 2.0, "p", cost=30), Candidate(3, 3.0, "p", cost=30)]
    assert pick(heavy, CONFIG) == [1, 2]


def test_a_row_larger_than_the_bound_runs_alone() -> None:
    assert pick([Candidate(1, 1.0, "p", cost=500), Candidate(2, 2.0, "p", cost=1)], CONFIG) == [1]


@given(candidates)
def test_laws(waiting: list[Candidate]) -> None:
    chosen = pick(waiting, CONFIG)
    by_strand = {candidate.strand: candidate for candidate in waiting}
    assert bool(chosen) == bool(waiting)
    assert len(set(chosen)) == len(chosen) <= CONFIG.max_step_rows
    if chosen:
        leader = by_strand[chosen[0]]
        assert leader.deadline_s == min(candidate.deadline_s for candidate in waiting)
        assert all(by_strand[strand].batch_key == leader.batch_key for strand in chosen)
        assert len(chosen) == 1 or leader.batch_key is not None
        assert len(chosen) == 1 or sum(by_strand[strand].cost for strand in chosen) <= CONFIG.max_prefill_tokens


def test_a_waiting_job_grows_more_urgent_than_a_stream_with_audio_ahead() -> None:
    stream = deadline_of(accepted_s=0.0, first_audio_s=1.0, sent_audio_s=5.0)
    newcomer = deadline_of(accepted_s=4.0, first_audio_s=None, sent_audio_s=0.0)
    latecomer = deadline_of(accepted_s=5.9, first_audio_s=None, sent_audio_s=0.0)
    assert newcomer < stream < latecomer
