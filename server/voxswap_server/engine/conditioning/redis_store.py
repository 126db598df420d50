"""The store in a Redis, so that servers share what one of them has computed.

Knows nothing of what the entries hold. The `redis` package is optional: nothing is imported before it is needed. The
password of the URL stands in no message.
"""

from importlib import import_module
from math import ceil
from typing import Any, Final
from urllib.parse import urlsplit

from voxswap_server.engine.conditioning.entry import MAX_ENTRY_BYTES
from voxswap_server.engine.conditioning.keys import FORMAT, Key
from voxswap_server.errors import RequestError

_NO_STRING: Final = "WRONGTYPE"
_FOREIGN: Final = b"no string"
"""Stands for whatever else lies under a key of ours: no entry, and no reason to leave Redis alone."""
_PROBE: Final = Key("probe", "0" * 64, ())


class Redis:
    """Implements `contract.Store`.

    Args:
        client: a `redis.Redis` of short time-outs that answers with bytes.
        prefix: before every key.
        ttl_s: how long an entry stays; 0: Redis decides.
    """

    name = "redis"

    def __init__(self, client: Any, prefix: str, ttl_s: float) -> None:
        self._client = client
        self._prefix = f"{prefix}:{FORMAT}:"
        self._ttl_ms = ceil(ttl_s * 1000) or None

    def get(self, key: Key) -> bytes | None:
        try:
            # A range, for whatever lies there may be of any size; a missing key is an empty string to it.
            data: bytes = self._client.getrange(self._prefix + key.name, 0, MAX_ENTRY_BYTES)
        except Exception as error:
            if _NO_STRING in str(error):
                return _FOREIGN
            raise
        return data or None

    def put(self, key: Key, data: bytes) -> None:
        if len(data) <= MAX_ENTRY_BYTES:
            self._client.set(self._prefix + key.name, data, px=self._ttl_ms)

    def discard(self, key: Key) -> None:
        self._client.delete(self._prefix + key.name)

    def probe(self, *, writing: bool) -> None:
        if writing:
            self._client.set(self._prefix + _PROBE.name, b"-", px=1000)
        else:
            self._client.ping()

    def close(self) -> None:
        self._client.close()


def connect(url: str, *, prefix: str, ttl_s: float, timeout_s: float) -> Redis:
    """The store behind a URL; nothing is sent yet.

    Raises:
        RequestError: the `redis` package is not installed, or the URL is none.
    """
    try:
        redis, retries = import_module("redis"), import_module("redis.retry")
        backoff = import_module("redis.backoff")
    except ImportError:
        raise RequestError(
            "cache.redis_url is set, but the redis package is not installed; run `pip install voxswap[redis]`",
            field="cache.redis_url",
        ) from None
    try:
        client = redis.Redis.from_url(
            url,
            socket_timeout=timeout_s,
            socket_connect_timeout=timeout_s,
            # Patience is the business of whoever stands before the store: it knows who waits.
            retry=retries.Retry(backoff.NoBackoff(), 0),
            decode_responses=False,
            client_name="voxswap",
        )
    except ValueError:
        # Not in the words of whoever found it: they may hold what was taken for the port, which is a password's end.
        raise RequestError(
            "cache.redis_url is no address of a Redis; such as redis://:password@host:6379/0, with whatever is special "
            "in the password percent-encoded",
            field="cache.redis_url",
        ) from None
    return Redis(client, prefix, ttl_s)


def place_of(url: str) -> str:
    """Where a URL points, without its secrets; of one that cannot be read, nothing."""
    try:
        parts = urlsplit(url)
        host, port = parts.hostname or "", f":{parts.port}" if parts.port else ""
    except ValueError:
        return "an address that cannot be read"
    path = parts.path if parts.scheme == "unix" or parts.path[1:].isdigit() else ""
    return f"{parts.scheme}://{host}{port}{path}"
