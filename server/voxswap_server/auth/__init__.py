"""Who may do what: API keys, client certificates, scopes, and what may be bound to a public address.

Knows nothing of any transport: a transport reads `Credentials` out of its headers and asks an `Authenticator`.
"""

from voxswap_server.auth.authenticator import Authenticator, Principal
from voxswap_server.auth.config import SecurityConfig, open_to_all, require_safe_bind
from voxswap_server.auth.credentials import Credentials, credentials_of
from voxswap_server.auth.keys import EVERY_SCOPE, Scope
from voxswap_server.auth.tls import TlsFiles

__all__ = [
    "EVERY_SCOPE",
    "Authenticator",
    "Credentials",
    "Principal",
    "Scope",
    "SecurityConfig",
    "TlsFiles",
    "credentials_of",
    "open_to_all",
    "require_safe_bind",
]
