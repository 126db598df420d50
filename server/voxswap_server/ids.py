"""Which request this is, in words that the caller chose or that are made here.

Knows nothing of transports: metadata and headers spell these alike.
"""

import re
import uuid
from collections.abc import Callable

REQUEST_ID_KEY = "x-request-id"
CACHE_STATE_KEY = "x-cache-state"
TRACE_KEY = "traceparent"

_REQUEST_ID = re.compile(r"[\x21-\x7e]{1,128}\Z")
_TRACE_PARENT = re.compile(
    r"(?!ff)[0-9a-f]{2}-(?!0{32})(?P<trace_id>[0-9a-f]{32})-(?!0{16})[0-9a-f]{16}-[0-9a-f]{2}(-.*)?\Z"
)
"""W3C Trace Context level 1: version, trace id, parent id, flags; later versions may append."""


def new_id() -> str:
    """32 hexadecimal digits, as of a trace."""
    return uuid.uuid4().hex


def request_id_of(asked: str, make: Callable[[], str] = new_id) -> str:
    """A caller's own id is kept if it is at most 128 visible ASCII characters; else one is made."""
    return asked if _REQUEST_ID.match(asked) else make()


def trace_id_of(traceparent: str, make: Callable[[], str] = new_id) -> str:
    """The trace that the caller is in; else a new one."""
    trace = _TRACE_PARENT.match(traceparent)
    return trace["trace_id"] if trace else make()
