"""What a client sends along with each call, and how long it tries.

Knows nothing of channels; the sync and the async client share it.
"""

import uuid
from dataclasses import dataclass

from voxswap_client.calls import Metadata
from voxswap_client.retry import Attempts, RetryPolicy, Timing

REQUEST_ID_KEY = "x-request-id"
AUTHORIZATION_KEY = "authorization"


@dataclass(frozen=True, slots=True)
class Session:
    timeout_s: float | None
    """For calls with one answer that are given none of their own; None is no limit."""
    retry: RetryPolicy
    metadata: Metadata
    timing: Timing

    def attempts(self, timeout_s: float | None) -> Attempts:
        """For a call with one answer."""
        return Attempts(self.retry, self.timing, self.timeout_s if timeout_s is None else timeout_s)

    def stream_attempts(self, timeout_s: float | None) -> Attempts:
        """For a stream, which has no limit of its own."""
        return Attempts(self.retry, self.timing, timeout_s)

    def headers(self, own: Metadata, request_id: str) -> Metadata:
        return (*self.metadata, *own, (REQUEST_ID_KEY, request_id))


def bearing(api_key: str) -> Metadata:
    """The header of a key; none for none."""
    return ((AUTHORIZATION_KEY, f"Bearer {api_key}"),) if api_key else ()


def new_request_id() -> str:
    return uuid.uuid4().hex
