"""Tokens of one utterance on their way from the strand that draws them to the one that makes audio of them.

Knows nothing of networks or of what a token means. Both strands run on the device thread, so nothing here is locked.
What the reading strand sees depends on numbers of tokens only, never on how far the other one has run ahead.
"""

from collections.abc import Generator
from concurrent.futures import Future
from typing import TYPE_CHECKING, Any

from voxswap_server.engine.job import Await, Work
from voxswap_server.nn.specs import TOKEN_RATE_HZ

if TYPE_CHECKING:
    from voxswap_server.engine.text_encoder import EncodedText


class TokenFeed:
    """Grows by `put` until `end` or `fail`.

    Args:
        before: feeds whose audio is heard before this one's and is not all made yet.
    """

    def __init__(self, before: "tuple[TokenFeed, ...]" = ()) -> None:
        self.text: EncodedText | None = None
        """Known before the first token."""
        self.tokens: list[int] = []
        self.heard = 0
        """Tokens whose audio was made."""
        self.closed = False
        """Nobody reads any more: drawing on would be for nothing."""
        self._before = before
        self._wanted: float = 0
        """How many tokens the reader waits for, or waited for last."""
        self._ended = False
        self._error: Exception | None = None
        self._reader: Future[None] | None = None

    # --- the strand that draws -----------------------------------------------------------------------------------

    def put(self, token: int) -> None:
        self.tokens.append(token)
        if len(self.tokens) >= self._wanted:
            self._wake()

    def end(self) -> None:
        """There will be no more tokens."""
        self._ended = True
        self._wake()

    def fail(self, error: Exception) -> None:
        """There will be no more tokens; a reader who wants more than there are gets the error."""
        self._error = error
        self.end()

    @property
    def ended(self) -> bool:
        """All tokens are there, and none was lost to a failure."""
        return self._ended and self._error is None

    @property
    def grows(self) -> bool:
        """More tokens may come."""
        return not self._ended

    @property
    def later_s(self) -> float:
        """How much later than audio that is wanted now the next token is wanted."""
        own = self.unheard_s if len(self.tokens) >= self._wanted else 0.0
        return own + sum(feed.unheard_s for feed in self._before)

    # --- the strand that reads -----------------------------------------------------------------------------------

    def until(self, count: float) -> Generator[Work, Any, bool]:
        """Waits for so many tokens; False when there are fewer for good.

        Raises:
            Exception: what the drawing failed with before there were so many.
        """
        self._wanted = count
        while len(self.tokens) < count and not self._ended:
            self._reader = Future()
            yield Await(self._reader)
        if len(self.tokens) >= count:
            return True
        if self._error is not None:
            raise self._error
        return False

    def close(self) -> None:
        """Nothing more will be read."""
        self.closed = True
        self.heard = len(self.tokens)
        self._before = ()

    @property
    def unheard_s(self) -> float:
        """Audio that its tokens stand for and that was not made yet."""
        return 0.0 if self.closed else (len(self.tokens) - self.heard) / TOKEN_RATE_HZ

    def _wake(self) -> None:
        reader, self._reader = self._reader, None
        if reader is not None:
            reader.set_result(None)
