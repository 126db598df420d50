"""A resource that loads at its first use, once, whichever thread comes first.

Knows nothing of what it holds.
"""

from collections.abc import Callable
from threading import Lock
from typing import Generic, TypeVar

T = TypeVar("T")


class Lazy(Generic[T]):
    """Calls `load` at the first `get` and keeps its result; threads that come meanwhile wait for it.

    A load that raises is tried again by the next caller.
    """

    def __init__(self, load: Callable[[], T]) -> None:
        self._load = load
        self._lock = Lock()
        self._value: T | None = None
        self._loaded = False

    def get(self) -> T:
        if not self._loaded:
            with self._lock:
                if not self._loaded:
                    self._value = self._load()
                    self._loaded = True
        return self._value  # type: ignore[return-value]  # _loaded says that it is a T
