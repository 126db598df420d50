"""Certificates as files. Knows nothing of who uses them.

They are read anew when they change, so a renewed certificate is in use without a restart.
"""

import ssl
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import structlog

from voxswap_server.errors import ConfigError

log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Pem:
    """What TLS needs, as PEM."""

    certificate: bytes
    """The server's chain, its own certificate first."""
    private_key: bytes
    client_ca: bytes | None
    """Whose signature a client's certificate must have; None asks clients for none."""


@dataclass(frozen=True, slots=True)
class TlsFiles:
    certificate: Path
    private_key: Path
    client_ca: Path | None = None

    def read(self) -> Pem:
        """What the files hold now.

        Raises:
            ConfigError: one cannot be read.
        """
        try:
            return Pem(
                self.certificate.read_bytes(),
                self.private_key.read_bytes(),
                self.client_ca.read_bytes() if self.client_ca else None,
            )
        except OSError as error:
            raise ConfigError(f"a file of TLS cannot be read: {error}") from None

    def context(self) -> ssl.SSLContext:
        """For servers of the standard library and of asyncio; a new certificate is shown from the next handshake on.

        Raises:
            ConfigError: the files cannot be read, or certificate and key are no pair.
        """
        changed = self.changes()
        first = current = self._context()

        def renew(connection: ssl.SSLObject, _name: str | None, _first: ssl.SSLContext) -> None:
            nonlocal current
            if changed() is not None:
                try:
                    current = self._context()
                except ConfigError as error:
                    log.error("certificate not reloaded", problem=error.message)  # noqa: TRY400 - it says all
            connection.context = current

        first.sni_callback = renew
        return first

    def _context(self) -> ssl.SSLContext:
        context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        try:
            context.load_cert_chain(self.certificate, self.private_key)
            if self.client_ca:
                context.load_verify_locations(self.client_ca)
                context.verify_mode = ssl.CERT_REQUIRED
        except (OSError, ssl.SSLError) as error:
            raise ConfigError(f"certificate and key cannot be used: {error}") from None
        return context

    def changes(self) -> Callable[[], Pem | None]:
        """A function that gives what the files hold where that is not what they held when it was last asked.

        Raises:
            ConfigError: one cannot be read; later on that counts as no change.
        """
        held = self.read()

        def changed() -> Pem | None:
            nonlocal held
            try:
                found = self.read()
            except ConfigError:
                return None  # they are being replaced: whoever shakes hands now gets the old ones
            if found == held:
                return None
            held = found
            return found

        return changed
