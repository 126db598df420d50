"""When a failed call is worth another try, and after how long.

Knows nothing of gRPC: an error, a clock and a policy go in, seconds come out.
"""

import random
import time
from collections.abc import Callable
from dataclasses import dataclass

from voxswap_client.errors import Unavailable, VoxswapError


@dataclass(frozen=True, slots=True)
class RetryPolicy:
    """Waits grow from `first_pause_s` by `growth` up to `max_pause_s`; a server's RetryInfo can only lengthen them."""

    max_attempts: int = 4
    """Of one call, the first included; 1 never tries again."""
    first_pause_s: float = 0.1
    growth: float = 2.0
    max_pause_s: float = 5.0
    max_retry_after_s: float = 30.0
    """A server that asks for more patience than this gets none: the error is raised at once."""
    jitter: float = 0.25
    """Share by which a wait is lengthened at random, so that many clients do not come back together."""


NO_RETRY = RetryPolicy(max_attempts=1)


@dataclass(frozen=True, slots=True)
class Timing:
    """Where time and chance come from."""

    clock: Callable[[], float] = time.monotonic
    """Seconds."""
    chance: Callable[[], float] = random.random
    """In [0, 1)."""


class Attempts:
    """The tries of one call.

    Args:
        policy: how often and how soon.
        timing: injected clock and chance.
        timeout_s: for all tries and waits together; None is no limit.
    """

    def __init__(self, policy: RetryPolicy, timing: Timing, timeout_s: float | None) -> None:
        self._policy = policy
        self._timing = timing
        self._deadline_s = None if timeout_s is None else timing.clock() + timeout_s
        self._failed = 0

    def left_s(self) -> float | None:
        """What is left of the timeout; None is no limit."""
        return None if self._deadline_s is None else max(0.0, self._deadline_s - self._timing.clock())

    def pause_s(self, error: VoxswapError, *, idempotent: bool) -> float | None:
        """How long to wait before the next try; None: the error stands.

        A try is worth it where the server said that it did not begin (RetryInfo), or where none was reached and the
        call does no harm twice.
        """
        self._failed += 1
        policy = self._policy
        refused = error.retry_after_s is not None
        lost = isinstance(error, Unavailable) and idempotent
        if not (refused or lost) or self._failed >= policy.max_attempts:
            return None
        asked_s = error.retry_after_s or 0.0
        if asked_s > policy.max_retry_after_s:
            return None
        backoff_s = min(policy.max_pause_s, policy.first_pause_s * policy.growth ** (self._failed - 1))
        pause_s = max(asked_s, backoff_s) * (1.0 + policy.jitter * self._timing.chance())
        left_s = self.left_s()
        return pause_s if left_s is None or pause_s < left_s else None
