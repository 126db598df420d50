"""The lines that wait to be spoken: bounded, without repetitions, no more of one user than is fair.

Knows nothing of voices or audio, and waits for nothing.
"""

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, replace

from cachetools import TTLCache

from voxswap_server.errors import CapacityError, RequestError
from voxswap_server.http.panel.config import PanelConfig
from voxswap_server.http.problems import NoSuchLine, Repeated

USERS = 10_000
"""Whose last lines are remembered, and how many lines against repetition."""


class TooManyLines(CapacityError):
    """This user has said enough for now."""

    reason = "TOO_MANY_LINES"


@dataclass(frozen=True, slots=True)
class Line:
    number: int
    text: str
    user: str = ""
    voice_id: str = ""
    """Who says it; "" is whoever speaks in the session when its turn comes."""
    approved: bool = True


class Lines:
    """A queue that drops its oldest when it is full.

    Args:
        config: bounds.
        clock: monotonic seconds.
    """

    def __init__(self, config: PanelConfig, clock: Callable[[], float]) -> None:
        self._config = config
        self._clock = clock
        self._waiting: deque[Line] = deque()
        self._number = 0
        self._recent: TTLCache[str, bool] = TTLCache(USERS, max(config.duplicate_s, 1e-9), timer=clock)
        self._users: TTLCache[str, tuple[float, ...]] = TTLCache(USERS, config.user_s, timer=clock)

    @property
    def waiting(self) -> tuple[Line, ...]:
        return tuple(self._waiting)

    def offer(self, text: str, *, user: str = "", voice_id: str = "", approved: bool = True) -> tuple[Line, list[Line]]:
        """A new line, and those that it pushed out.

        Raises:
            RequestError: there is nothing in it, or too much.
            Repeated: it was said a moment ago.
            TooManyLines: by this user; `retry_after_s` says when the next may come.
        """
        said = " ".join(text.split())
        if not any(character.isalnum() for character in said):
            raise RequestError("there is nothing in it that could be spoken", field="text")
        limit = self._config.max_text_characters
        if len(said) > limit:
            raise RequestError(f"{len(said)} characters are more than {limit}", field="text")
        if said.casefold() in self._recent:
            raise Repeated(f"the same was said less than {self._config.duplicate_s:g} s ago", field="text")
        self._count(user)
        self._recent[said.casefold()] = True
        self._number += 1
        line = Line(self._number, said, user, voice_id, approved)
        dropped = []
        while len(self._waiting) >= self._config.max_queue:
            dropped.append(self._waiting.popleft())
        self._waiting.append(line)
        return line, dropped

    def take(self) -> Line | None:
        """The oldest that may be spoken."""
        for line in self._waiting:
            if line.approved:
                self._waiting.remove(line)
                return line
        return None

    def approve(self, number: int) -> None:
        """
        Raises:
            NoSuchLine: it does not wait.
        """
        line = self._find(number)
        self._waiting[self._waiting.index(line)] = replace(line, approved=True)

    def approve_all(self) -> None:
        self._waiting = deque(replace(line, approved=True) for line in self._waiting)

    def remove(self, number: int) -> Line:
        """
        Raises:
            NoSuchLine: it does not wait.
        """
        line = self._find(number)
        self._waiting.remove(line)
        return line

    def clear(self) -> tuple[Line, ...]:
        """Forgets all that wait, and says what they were."""
        waiting = self.waiting
        self._waiting.clear()
        return waiting

    def _find(self, number: int) -> Line:
        for line in self._waiting:
            if line.number == number:
                return line
        known = ", ".join(str(line.number) for line in self._waiting) or "none"
        raise NoSuchLine(f"line {number} does not wait; waiting: {known}", field="line")

    def _count(self, user: str) -> None:
        """Users who have no name are not told apart, so they are not counted."""
        if not user:
            return
        now_s = self._clock()
        said_s = tuple(at_s for at_s in self._users.get(user, ()) if now_s - at_s < self._config.user_s)
        if len(said_s) >= self._config.user_lines:
            raise TooManyLines(
                f"{user[:80]!r} has said {len(said_s)} lines in {self._config.user_s:g} s, which is the limit",
                retry_after_s=max(0.1, said_s[0] + self._config.user_s - now_s),
            )
        self._users[user] = (*said_s, now_s)
