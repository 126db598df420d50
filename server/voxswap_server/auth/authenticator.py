"""Decides who a caller is and whether that one may.

Knows nothing of transports. Every presented key is hashed and compared with every known hash in constant time, so the
time of an answer says nothing of how near a guess was.
"""

import hmac
from collections.abc import AsyncGenerator, Callable
from contextlib import aclosing
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import structlog
from watchfiles import awatch

from voxswap_server.auth.credentials import Credentials
from voxswap_server.auth.keys import EVERY_SCOPE, Keys, Scope, hashed, read_keys
from voxswap_server.errors import ConfigError, PermissionDenied, Unauthenticated
from voxswap_server.logs import audit

log = structlog.get_logger(__name__)

SETTLE_MS = 50
"""Changes of the file that come so soon after one another are read as one."""


@dataclass(frozen=True, slots=True)
class Principal:
    """Who a request is for."""

    name: str
    """Of the key or of the certificate; "anonymous" where the server asks for none."""
    scopes: frozenset[Scope]

    def require(self, *any_of: Scope) -> None:
        """Passes whoever has one of these scopes; everyone where none is named.

        Raises:
            PermissionDenied: this one may not.
        """
        if any_of and not self.scopes & set(any_of):
            raise PermissionDenied(self.name, has=sorted(self.scopes), needs=[str(scope) for scope in any_of])


ANYONE = Principal("anonymous", EVERY_SCOPE)


class Authenticator:
    """Knows the keys. Without a keys file everyone may do everything.

    Args:
        keys_file: see `auth.keys`; None asks nobody for anything.

    Raises:
        ConfigError: the file cannot be used.
    """

    def __init__(self, keys_file: Path | None = None) -> None:
        self._path = keys_file
        self._keys = read_keys(keys_file) if keys_file else Keys()

    @property
    def asks(self) -> bool:
        """Whether a caller has to show anything."""
        return self._path is not None

    def describe(self) -> str:
        """What a caller must show, in words."""
        if not self.asks:
            return "no keys asked for"
        return f"{len(self._keys.keys)} keys, {len(self._keys.certificates)} certificates"

    def authorize(self, credentials: Credentials, *any_of: Scope) -> Principal:
        """The caller, who may do what one of these scopes allows; with no scope named, who is known at all.

        Raises:
            Unauthenticated: nothing was shown, or nothing that is known here.
            PermissionDenied: the caller is known, and may not.
        """
        principal = self.identify(credentials)
        principal.require(*any_of)
        return principal

    def identify(self, credentials: Credentials) -> Principal:
        """The caller, whatever that one may do.

        Raises:
            Unauthenticated: nothing was shown, or nothing that is known here.
        """
        if not self.asks:
            return ANYONE
        if credentials.api_key:
            return self._owner(credentials.api_key)
        for certificate in self._keys.certificates:
            if certificate.name in credentials.certificate_names:
                return Principal(certificate.name, certificate.scopes)
        raise Unauthenticated("this server asks for an API key: send 'authorization: Bearer KEY'")

    async def follow(self, on_reload: Callable[[], None] = lambda: None) -> None:
        """Keeps up with the file until it is cancelled. While a new content cannot be used, the last good one holds.

        Args:
            on_reload: called after each change that was taken over.
        """
        if self._path is None:
            return
        # The folder, not the file: a replaced file is another one, and mounted secrets change by a link beside it.
        ticks: AsyncGenerator[object, None] = awatch(
            self._path.parent, recursive=False, step=SETTLE_MS, watch_filter=partial(_concerns, self._path.name)
        )
        async with aclosing(ticks):
            async for _ in ticks:
                if self._reload(self._path):
                    on_reload()

    def _owner(self, secret: str) -> Principal:
        digest = hashed(secret)
        # All of them, whichever one it is: the sooner answer must not tell which.
        owners = [key for key in self._keys.keys if hmac.compare_digest(key.sha256, digest)]
        if not owners:
            raise Unauthenticated("this API key is not known here; it may have been revoked")
        return Principal(owners[0].name, owners[0].scopes)

    def _reload(self, path: Path) -> bool:
        try:
            keys = read_keys(path)
        except ConfigError as error:
            log.error("keys not reloaded", problem=error.message)  # noqa: TRY400 - the message says all
            return False
        if keys == self._keys:
            return False
        self._keys = keys
        audit("keys reloaded", keys=len(keys.keys), certificates=len(keys.certificates))
        return True


def _concerns(name: str, _change: object, path: str) -> bool:
    """Whether a change in the folder is one of the file: of itself, or of the link that mounted secrets lie behind.

    What else lies there may change all the time: a log, which would tell of its own growing.
    """
    changed = Path(path).name
    return changed == name or changed.startswith("..")
