"""Which pages a browser may ask for: ours, and those that the settings name.

Knows nothing of what is asked. A server on a loopback address is within reach of every page that its user opens, so:
an `Origin` that is neither ours nor allowed is refused, also where no CORS would stop it (WebSockets, plain forms); so
is what `Sec-Fetch-Site` says another site embeds (an image that is an action); and so is a `Host` that a stranger's DNS
could point here (rebinding). Programs that are no browsers send none of this, and are not concerned.
"""

import ipaddress
from collections.abc import Mapping
from dataclasses import dataclass
from urllib.parse import SplitResult, urlsplit

from voxswap_server.http.problems import ForeignPage

OWN_SITES = frozenset({"same-origin", "none"})
"""What `Sec-Fetch-Site` says of our own pages, and of what the user typed."""
EXPOSED = "x-request-id, x-cache-state, x-voice-id, x-sample-rate-hertz, x-seed, x-notices, retry-after"


@dataclass(frozen=True, slots=True)
class Browsers:
    allowed_origins: tuple[str, ...] = ()
    """Such as "https://studio.example"; CORS is on for these, and off without."""
    allowed_hosts: tuple[str, ...] = ()
    """Names of this server with a dot in them; addresses and names without one are always ours."""

    def check(self, headers: Mapping[str, str]) -> None:
        """
        Raises:
            ForeignPage: says which header, and which setting would allow it.
        """
        host = headers.get("host", "")
        if not self._is_ours(host):
            raise ForeignPage(f"this server does not go by the name {host[:200]!r}; http.allowed_hosts can name it")
        origin = headers.get("origin")
        if origin in self.allowed_origins:
            return
        if origin is not None and _place(origin).netloc.lower() != host.lower():
            raise ForeignPage(f"pages of {origin[:200]!r} may not use this server; http.allowed_origins can name them")
        site = headers.get("sec-fetch-site", "none")
        if origin is None and site not in OWN_SITES:
            raise ForeignPage(f"a page of another site ({site[:40]}) may not use this server")

    def cors(self, headers: Mapping[str, str]) -> dict[str, str]:
        """Headers that let an allowed page read the answer; none for anybody else."""
        origin = headers.get("origin")
        if origin is None or origin not in self.allowed_origins:
            return {}
        return {"access-control-allow-origin": origin, "vary": "origin", "access-control-expose-headers": EXPOSED}

    def preflight(self, headers: Mapping[str, str], methods: tuple[str, ...]) -> dict[str, str]:
        """The answer to OPTIONS; empty where it is no preflight of an allowed page."""
        allowed = self.cors(headers)
        if not allowed or "access-control-request-method" not in headers:
            return {}
        asked = headers.get("access-control-request-headers", "")
        return allowed | {
            "access-control-allow-methods": ", ".join(methods),
            "access-control-allow-headers": asked,
            "access-control-max-age": "600",
        }

    def _is_ours(self, host: str) -> bool:
        """A name without a dot cannot be registered by a stranger, and an address is nobody's name."""
        place = _place(f"//{host}")
        if host and not place.netloc:
            return False
        name = (place.hostname or "").rstrip(".")
        if "." not in name or name.endswith(".localhost") or name in self.allowed_hosts:
            return True
        try:
            ipaddress.ip_address(name)
        except ValueError:
            return False
        return True


def _place(url: str) -> SplitResult:
    """Its parts; nothing at all of what is no URL."""
    try:
        return urlsplit(url)
    except ValueError:
        return SplitResult("", "", "", "", "")
