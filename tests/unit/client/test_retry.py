"""When another try is worth it, and after how long: an error and a clock in, seconds out."""

import grpc
import pytest
from hypothesis import given
from hypothesis import strategies as st

from voxswap_client.errors import Draining, Failure, InvalidRequest, Overloaded, Unavailable, VoxswapError
from voxswap_client.retry import NO_RETRY, Attempts, RetryPolicy, Timing

POLICY = RetryPolicy(max_attempts=4, first_pause_s=0.1, growth=2.0, max_pause_s=0.3, max_retry_after_s=10.0, jitter=0.0)


class Clock:
    now_s = 100.0

    def __call__(self) -> float:
        return self.now_s


def attempts(policy: RetryPolicy = POLICY, timeout_s: float | None = None, clock: Clock | None = None) -> Attempts:
    return Attempts(policy, Timing(clock or Clock(), lambda: 0.5), timeout_s)


def error(kind: type[VoxswapError], retry_after_s: float | None = None) -> VoxswapError:
    return kind(Failure(grpc.StatusCode.UNAVAILABLE, "x", retry_after_s=retry_after_s))


def test_waits_grow_to_their_limit_and_then_the_error_stands():
    tries = attempts()
    lost = error(Unavailable)
    assert [tries.pause_s(lost, idempotent=True) for _ in range(4)] == pytest.approx([0.1, 0.2, 0.3, None])


def test_a_server_lengthens_the_wait_but_cannot_shorten_it():
    assert attempts().pause_s(error(Overloaded, 2.0), idempotent=True) == 2.0
    assert attempts().pause_s(error(Overloaded, 0.01), idempotent=True) == 0.1


def test_a_server_that_asks_for_too_much_patience_gets_none():
    assert attempts().pause_s(error(Overloaded, 11.0), idempotent=True) is None


def test_chance_only_lengthens():
    jittery = attempts(RetryPolicy(jitter=0.5))
    assert jittery.pause_s(error(Draining, 2.0), idempotent=True) == 2.5


@pytest.mark.parametrize(
    ("failed", "idempotent", "again"),
    [
        (error(Unavailable), True, True),
        (error(Unavailable), False, False),
        (error(Overloaded, 1.0), False, True),
        (error(Overloaded), True, False),
        (error(InvalidRequest), True, False),
    ],
    ids=["lost", "lost, may have happened", "refused", "exhausted without RetryInfo", "wrong request"],
)
def test_what_is_tried_again(failed: VoxswapError, idempotent: bool, again: bool):
    assert (attempts().pause_s(failed, idempotent=idempotent) is not None) == again


def test_no_retry_is_one_try():
    assert attempts(NO_RETRY).pause_s(error(Unavailable), idempotent=True) is None


def test_a_wait_that_would_outlive_the_deadline_is_not_begun():
    clock = Clock()
    tries = attempts(timeout_s=1.0, clock=clock)
    assert tries.left_s() == 1.0
    assert tries.pause_s(error(Overloaded, 0.9), idempotent=True) == 0.9
    clock.now_s += 0.9
    assert tries.left_s() == pytest.approx(0.1)
    assert tries.pause_s(error(Overloaded, 0.9), idempotent=True) is None
    clock.now_s += 5
    assert tries.left_s() == 0.0


@given(
    st.integers(1, 6),
    st.lists(st.one_of(st.none(), st.floats(0, 20)), max_size=8),
    st.one_of(st.none(), st.floats(0, 30)),
    st.floats(0, 1, exclude_max=True),
)
def test_tries_and_waits_stay_within_the_policy(max_attempts, retry_after, timeout_s, chance):
    clock = Clock()
    policy = RetryPolicy(max_attempts=max_attempts)
    tries = Attempts(policy, Timing(clock, lambda: chance), timeout_s)
    waits = []
    for asked_s in retry_after:
        pause_s = tries.pause_s(error(Unavailable, asked_s), idempotent=True)
        if pause_s is None:
            break
        assert pause_s >= (asked_s or 0.0)
        clock.now_s += pause_s
        waits.append(pause_s)
    assert len(waits) < max_attempts
    if timeout_s is not None:
        assert sum(waits) <= timeout_s
