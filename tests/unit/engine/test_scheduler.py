"""The scheduler, as a table of situations and a few laws."""

from collections import defaultdict
from dataclasses import dataclass, field
from itertools import count, cycle

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from voxswap_server.engine.scheduler import Candidate, Patience, PuttingOff, SchedulerConfig, deadline_of, pick

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


def test_a_new_stream_goes_before_those_that_have_audio_ahead_and_after_one_that_runs_dry() -> None:
    newcomer = deadline_of(accepted_s=10.0, first_audio_s=None, sent_audio_s=0.0)
    ahead = deadline_of(accepted_s=0.0, first_audio_s=1.0, sent_audio_s=9.5)
    dry = deadline_of(accepted_s=0.0, first_audio_s=1.0, sent_audio_s=9.0)
    assert dry < newcomer < ahead


def test_a_job_nobody_listens_to_gives_way_until_its_patience_ends() -> None:
    batch = deadline_of(accepted_s=0.0, first_audio_s=1.0, sent_audio_s=2.0, batch=True, patience=Patience(0.3, 10.0))
    stream = deadline_of(accepted_s=9.0, first_audio_s=9.5, sent_audio_s=1.0)
    later = deadline_of(accepted_s=11.8, first_audio_s=None, sent_audio_s=0.0)
    assert batch == 12.0
    assert stream < batch < later


@pytest.mark.parametrize(
    ("ahead_s", "allowed"), [(5.0, True), (1.0, True), (0.9, False), (0.0, False), (-0.4, False), (-0.5, True)]
)
def test_growing_work_is_put_off_for_listeners_who_have_enough_or_lost_the_thread(
    ahead_s: float, allowed: bool
) -> None:
    assert PuttingOff(comfort_s=1.0, lost_s=0.5).allowed(dry_s=100.0 + ahead_s, now_s=100.0) is allowed


@pytest.mark.parametrize("crowded", [True, False])
def test_nothing_is_put_off_before_the_first_audio(*, crowded: bool) -> None:
    assert not PuttingOff().allowed(dry_s=None, now_s=100.0, crowded=crowded)


@pytest.mark.parametrize(
    ("ahead_s", "each_s", "crowded"),
    [
        ((0.5, -9.0, None, 2.0), 0.3, False),  # the last one has time
        ((0.5, -9.0, None, 2.0), 0.4, True),
        ((2.0, 2.0), 9.0, False),
        ((), 9.0, False),
        ((0.5, 0.5), 0.0, False),  # nobody knows yet
    ],
)
def test_a_crowd_is_what_cannot_be_served_before_it_runs_dry(
    ahead_s: tuple[float | None, ...], each_s: float, crowded: bool
) -> None:
    dry_s = [None if ahead is None else 100.0 + ahead for ahead in ahead_s]
    policy = PuttingOff(comfort_s=1.0)
    assert policy.crowded(dry_s, now_s=100.0, each_s=each_s) is crowded
    assert policy.allowed(dry_s=100.5, now_s=100.0, crowded=crowded) is crowded


@dataclass
class Playing:
    """A job of a simulation: units of work, each of which takes some time and makes some audio."""

    number: int
    accepted_s: float
    batch: bool
    units: list[tuple[float, float]]
    first_audio_s: float | None = None
    sent_audio_s: float = 0.0
    progressed_s: list[float] = field(default_factory=list)
    """When it was admitted, and when each of its units was done."""

    def __post_init__(self) -> None:
        self.progressed_s.append(self.accepted_s)

    def deadline_s(self, patience: Patience) -> float:
        return deadline_of(
            accepted_s=self.accepted_s,
            first_audio_s=self.first_audio_s,
            sent_audio_s=self.sent_audio_s,
            batch=self.batch,
            patience=patience,
        )

    def advance(self, now_s: float) -> None:
        self.progressed_s.append(now_s)
        self.sent_audio_s += self.units.pop(0)[1]
        if self.first_audio_s is None:
            self.first_audio_s = now_s


units = st.lists(st.tuples(st.floats(0.01, 2.0), st.floats(0.01, 1.0)), min_size=1, max_size=6)


@given(
    batches=st.lists(units, min_size=1, max_size=3),
    streams=st.lists(units, min_size=1, max_size=6),
    stream_seats=st.integers(1, 4),
)
@settings(max_examples=60)
def test_under_endless_overload_every_job_progresses_within_a_bound(
    batches: list[list[tuple[float, float]]], streams: list[list[tuple[float, float]]], stream_seats: int
) -> None:
    """Whenever a stream ends another one begins, for ever.

    From the moment of its deadline on nobody who is admitted later goes before a job; so it waits for its patience, for
    the audio that it made, and for what those who sat with it then had left to do.
    """
    patience, clock_s, numbers, endless = Patience(0.3, 5.0), 0.0, count(), cycle(streams)
    work_s = max(sum(took for took, _ in work) for work in (*batches, *streams))
    bound_s = 5.0 + 6.0 + (stream_seats + len(batches) + 1) * work_s
    inside = [Playing(next(numbers), 0.0, batch=True, units=list(work)) for work in batches]
    while any(job.batch for job in inside):
        while sum(not job.batch for job in inside) < stream_seats:
            inside.append(Playing(next(numbers), clock_s, batch=False, units=list(next(endless))))
        waiting = [Candidate(job.number, job.deadline_s(patience), None) for job in inside]
        (chosen,) = pick(waiting, SchedulerConfig())
        job = next(job for job in inside if job.number == chosen)
        clock_s += job.units[0][0]
        job.advance(clock_s)
        if not job.units:
            inside.remove(job)
        assert all(clock_s - job.progressed_s[-1] <= bound_s for job in inside)


@given(st.lists(units, min_size=2, max_size=5))
@settings(max_examples=40)
def test_batch_work_fills_what_streams_leave_and_streams_are_not_late_for_it(
    streams: list[list[tuple[float, float]]],
) -> None:
    """Streams that fit the device (each unit makes more audio than all of them take) are never late by more than one unit."""
    patience, clock_s = Patience(0.3, 1e6), 0.0
    load = sum(max(took for took, _ in work) for work in streams) + 0.5
    jobs = [
        Playing(number, 0.0, batch=False, units=[(took, load) for took, _ in work])
        for number, work in enumerate(streams)
    ]
    jobs.append(Playing(len(jobs), 0.0, batch=True, units=[(0.5, 0.5)] * 40))
    late_s: dict[int, float] = defaultdict(float)
    while any(job.units for job in jobs):
        waiting = [Candidate(job.number, job.deadline_s(patience), None) for job in jobs if job.units]
        (chosen,) = pick(waiting, SchedulerConfig())
        job = jobs[chosen]
        clock_s += job.units[0][0]
        if job.first_audio_s is not None:
            late_s[chosen] = max(late_s[chosen], clock_s - job.deadline_s(patience))
        job.advance(clock_s)
    assert all(late_s[job.number] <= 0 for job in jobs if not job.batch)
    assert len(jobs[-1].progressed_s) == 1 + 40
    streamed_s = max(job.progressed_s[-1] for job in jobs[:-1])
    assert jobs[-1].progressed_s[-1] >= streamed_s  # it had what they left
