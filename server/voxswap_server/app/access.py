"""Who may come in, and where: every address that is listened on, and what protects it.

Knows nothing of the servers that listen there.
"""

from dataclasses import replace

from voxswap_server.auth import Authenticator, require_safe_bind
from voxswap_server.errors import ConfigError
from voxswap_server.settings import Settings


def listening(settings: Settings) -> dict[str, str]:
    """Every address that the server will listen on, by the setting that says so."""
    metrics = {"metrics.host": settings.metrics.host} if settings.metrics.enabled else {}
    http = {} if settings.http.port is None else {"http.host": settings.http.host}
    return {"rpc.address": settings.rpc.address} | http | metrics


def secured(settings: Settings) -> Authenticator:
    """Who may call what.

    Raises:
        ConfigError: an address is open to others without protection, or the keys cannot be read.
    """
    for what, address in listening(settings).items():
        require_safe_bind(what, address, settings.security)
    if settings.http.wyoming.port is not None:
        _require_open(settings)
    return Authenticator(settings.security.keys_file)


def _require_open(settings: Settings) -> None:
    """The Wyoming protocol has neither keys nor TLS, so it must not be a way around them.

    Raises:
        ConfigError: it would be.
    """
    plain = replace(settings.security, tls_certificate=None, tls_private_key=None, tls_client_ca=None)
    require_safe_bind("http.wyoming.host", settings.http.wyoming.host, plain)
    if settings.security.keys_file is not None or settings.security.tls_client_ca is not None:
        raise ConfigError(
            "callers have to show a key or a certificate, which the Wyoming protocol cannot: unset http.wyoming.port"
        )
