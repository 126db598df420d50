"""What a caller shows of itself, read from headers that HTTP and gRPC spell alike.

Knows nothing of keys. A key is never read from a URL: URLs are logged, stored and shared.
"""

from collections.abc import Iterable
from dataclasses import dataclass, field

AUTHORIZATION = "authorization"
API_KEY = "x-api-key"
_BEARER = "bearer "


@dataclass(frozen=True, slots=True)
class Credentials:
    """Both may be given; a key that is given must be right."""

    api_key: str = field(default="", repr=False)
    """As the caller sent it; "" when it sent none."""
    certificate_names: tuple[str, ...] = ()
    """Common and alternative names of a client certificate that the transport has verified."""


def credentials_of(headers: Iterable[tuple[str, str]], certificate_names: Iterable[str] = ()) -> Credentials:
    """Reads `authorization: Bearer KEY`, or else `x-api-key: KEY`.

    Args:
        headers: names and values; the names' case does not matter.
        certificate_names: of a client certificate that the transport has verified.
    """
    found = {name.lower(): value.strip() for name, value in headers}
    bearer = found.get(AUTHORIZATION, "")
    key = bearer[len(_BEARER) :].strip() if bearer.lower().startswith(_BEARER) else found.get(API_KEY, "")
    return Credentials(key, tuple(certificate_names))
