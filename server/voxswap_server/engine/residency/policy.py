"""Who goes, and when a failed load may be tried again. Pure functions and one cache of failures.

Knows nothing of threads, of loaders or of what is being evicted.
"""

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass
from typing import Protocol, TypeVar

from cachetools import TLRUCache

from voxswap_server.errors import CapacityError, VoxswapError

_REMEMBERED_FAILURES = 4096


class HeldPart(Protocol):
    """A part as far as eviction cares."""

    @property
    def size_bytes(self) -> int: ...
    @property
    def holders(self) -> AbstractSet[object]: ...


class Evictable(Protocol):
    """A voice as far as eviction cares."""

    @property
    def parts(self) -> Mapping[str, HeldPart]: ...


VictimT = TypeVar("VictimT", bound=Evictable)
ErrorT = TypeVar("ErrorT", bound=VoxswapError)


def choose_victims(
    candidates: Sequence[VictimT], need_bytes: int, keep: AbstractSet[str] = frozenset()
) -> list[VictimT] | None:
    """The least set of candidates whose eviction frees `need_bytes`, or None if even all of them do not.

    Taken in the given order (least recently used first), then thinned out from the end: nobody is in it whom the others
    can spare. A part is freed only when all who hold it go; parts in `keep` are needed by whoever comes.
    """
    chosen: list[VictimT] = []
    for candidate in candidates:
        if _freed_bytes(chosen, keep) >= need_bytes:
            break
        chosen.append(candidate)
    if _freed_bytes(chosen, keep) < need_bytes:
        return None
    for candidate in reversed(chosen[:]):
        rest = [one for one in chosen if one is not candidate]
        if _freed_bytes(rest, keep) >= need_bytes:
            chosen = rest
    return chosen


def _freed_bytes(leaving: Sequence[Evictable], keep: AbstractSet[str]) -> int:
    holds = Counter(key for victim in leaving for key in victim.parts)
    parts = {key: part for victim in leaving for key, part in victim.parts.items()}
    return sum(part.size_bytes for key, part in parts.items() if key not in keep and holds[key] == len(part.holders))


@dataclass(frozen=True, slots=True)
class Failure:
    """The last failed load of a voice."""

    error: VoxswapError
    count: int
    """Failures in a row of this revision."""
    retry_at_s: float
    forget_at_s: float
    revision: str | None
    """What failed; None where not even the plan could be read."""


class FailureCache:
    """Failed loads with an exponential back-off, bounded, forgotten after a while.

    Args:
        backoff_s: wait after a first failure.
        max_backoff_s: longest wait. A failure is forgotten this long after its wait has ended.
        clock: monotonic seconds.
    """

    def __init__(self, backoff_s: float, max_backoff_s: float, clock: Callable[[], float]) -> None:
        self._backoff_s = backoff_s
        self._max_backoff_s = max_backoff_s
        self._clock = clock
        self._failures: TLRUCache[str, Failure] = TLRUCache(
            _REMEMBERED_FAILURES, ttu=lambda _voice, failure, _now: failure.forget_at_s, timer=clock
        )

    def record(self, voice_id: str, error: VoxswapError, revision: str | None) -> None:
        last = self._failures.get(voice_id)
        count = last.count + 1 if last is not None and last.revision == revision else 1
        wait_s = min(self._backoff_s * 2.0 ** min(count - 1, 60), self._max_backoff_s)
        retry_at_s = self._clock() + wait_s
        self._failures[voice_id] = Failure(
            bare_copy(error), count, retry_at_s, retry_at_s + self._max_backoff_s, revision
        )

    def blocking(self, voice_id: str) -> Failure | None:
        """The failure that forbids a new attempt now."""
        failure = self._failures.get(voice_id)
        return failure if failure is not None and self._clock() < failure.retry_at_s else None

    def last(self, voice_id: str) -> Failure | None:
        return self._failures.get(voice_id)

    def clear(self, voice_id: str) -> None:
        self._failures.pop(voice_id, None)

    def refusal(self, failure: Failure) -> VoxswapError:
        """The error again, saying when the load will be tried again."""
        wait_s = max(0.0, failure.retry_at_s - self._clock())
        error = bare_copy(failure.error, hint=f"; it will be tried again in {wait_s:.0f} s")
        if isinstance(error, CapacityError):
            error.retry_after_s = wait_s
        return error


def bare_copy(error: ErrorT, hint: str = "") -> ErrorT:
    """The same error without traceback, cause or context.

    Those would keep the frames of the failed load alive, and with them its memory; and one error object raised to
    several waiters would mix their tracebacks.
    """
    copy = type(error).__new__(type(error))
    vars(copy).update({name: value for name, value in vars(error).items() if name != "__notes__"})
    copy.message = error.message + hint
    copy.args = (copy.message,)
    return copy
