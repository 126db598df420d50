"""What each client chose: its weights and its reference, which upstream keeps once for everybody.

Knows nothing of what the choices mean. A client is an API key; without keys, an address. Several behind one key or
address tell themselves apart by a cookie or a header, whose value they choose. Nobody's choices can be read, changed or
pushed out by another caller: each has a bounded number of its own.
"""

from collections.abc import Callable, Hashable
from dataclasses import dataclass, replace
from typing import Any

from cachetools import LRUCache, TTLCache

from voxswap_server.http.api_v2.config import ApiV2Config
from voxswap_server.http.calls import Call

COOKIE = "voxswap_client"
HEADER = "x-client-id"
MAX_ID_CHARACTERS = 128
CLIENTS_OF_A_CALLER = 64


@dataclass(frozen=True, slots=True)
class Chosen:
    """By one client; "" where it chose nothing."""

    t2s_voice: str = ""
    """Voice whose s1 weights it set."""
    sovits_voice: str = ""
    """Voice whose s2 weights it set."""
    reference: str = ""
    """As it was given: resolved when it is used."""


NOTHING = Chosen()


class Clients:
    """Choices by client, forgotten when they have not been used for long.

    Args:
        config: bounds.
        clock: monotonic seconds.
    """

    def __init__(self, config: ApiV2Config, clock: Callable[[], float]) -> None:
        self._callers: TTLCache[Hashable, LRUCache[str, Chosen]] = TTLCache(
            config.max_clients, config.client_ttl_s, timer=clock
        )

    def chosen(self, call: Call) -> Chosen:
        """What the client of this call chose; asking keeps it."""
        found = self._of(call)
        if found is None:
            return NOTHING
        return found.get(client_id(call), NOTHING)

    def choose(self, call: Call, **changes: Any) -> None:
        """Changes what the client of this call chose."""
        found = self._of(call)
        if found is None:
            found = self._callers[caller_of(call)] = LRUCache(CLIENTS_OF_A_CALLER)
        found[client_id(call)] = replace(found.get(client_id(call), NOTHING), **changes)

    def forget(self, call: Call) -> None:
        """As if this client had never chosen anything."""
        found = self._of(call)
        if found is not None:
            found.pop(client_id(call), None)

    def _of(self, call: Call) -> "LRUCache[str, Chosen] | None":
        caller = caller_of(call)
        found = self._callers.get(caller)
        if found is not None:
            self._callers[caller] = found  # its time begins anew
        return found


def caller_of(call: Call) -> Hashable:
    """Who is answerable for a call."""
    if call.principal is not None and call.principal.name != "anonymous":
        return ("key", call.principal.name)
    return ("address", call.address)


def client_id(call: Call) -> str:
    """Which of a caller's clients it is; "" where it does not say."""
    connection = call.connection
    return (connection.headers.get(HEADER) or connection.cookies.get(COOKIE) or "")[:MAX_ID_CHARACTERS]
