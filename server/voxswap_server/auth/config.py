"""Settings of security, and the rule of what may be bound where. Knows nothing of sockets."""

from dataclasses import dataclass
from ipaddress import ip_address
from pathlib import Path

from voxswap_server.auth.tls import TlsFiles
from voxswap_server.errors import ConfigError


@dataclass(frozen=True, slots=True)
class SecurityConfig:
    keys_file: Path | None = None
    """TOML of `voxswap keys`; None asks callers for no key."""
    tls_certificate: Path | None = None
    """PEM chain of the server, its own certificate first; with `tls_private_key`, everything speaks TLS."""
    tls_private_key: Path | None = None
    """PEM."""
    tls_client_ca: Path | None = None
    """PEM; only clients with a certificate of these authorities may connect (mutual TLS)."""
    insecure_public: bool = False
    """Allow an address that others can reach without TLS: for a proxy in front, or a closed network."""

    @property
    def tls(self) -> TlsFiles | None:
        """None: plain text.

        Raises:
            ConfigError: one is given without another that it needs.
        """
        if self.tls_certificate and self.tls_private_key:
            return TlsFiles(self.tls_certificate, self.tls_private_key, self.tls_client_ca)
        if self.tls_certificate or self.tls_private_key or self.tls_client_ca:
            raise ConfigError("TLS needs both security.tls_certificate and security.tls_private_key")
        return None


def is_public(address: str) -> bool:
    """Whether others than this machine can reach an address: host:port, [host]:port, host, unix:path.

    A name counts as public unless it is localhost: what it leads to is somebody else's to say.
    """
    if address.startswith(("unix:", "unix-abstract:")):
        return False
    host = _host(address)
    if host == "localhost":
        return False
    try:
        return not ip_address(host).is_loopback
    except ValueError:
        return True


def require_safe_bind(what: str, address: str, config: SecurityConfig) -> None:
    """Lets an address pass that is safe to bind.

    Args:
        what: the setting that says so, for the message.
        address: where it would listen.
        config: what protects it.

    Raises:
        ConfigError: others could read and speak there, and nothing protects it.
    """
    if is_public(address) and config.tls is None and not config.insecure_public:
        raise ConfigError(
            f"{what} is {address!r}, which others can reach, and there is no TLS: set security.tls_certificate and "
            "security.tls_private_key, or bind to 127.0.0.1, or, behind a proxy or in a closed network, say "
            "security.insecure_public = true (--insecure-public)"
        )


def open_to_all(address: str, config: SecurityConfig) -> bool:
    """Whether others can reach an address, and are asked for nothing there: allowed, but worth a warning."""
    return is_public(address) and config.keys_file is None and config.tls_client_ca is None


def _host(address: str) -> str:
    if address.startswith("["):
        return address[1:].partition("]")[0]
    host, colon, port = address.rpartition(":")
    # An IPv6 address alone has colons too, but more than one.
    return host if colon and port.isdigit() and ":" not in host else address
