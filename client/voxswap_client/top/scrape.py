"""Reads a server's /metrics. Knows nothing of what the numbers mean."""

import ssl
import urllib.error
import urllib.request
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from prometheus_client.parser import text_string_to_metric_families

Series = tuple[str, frozenset[tuple[str, str]]]
"""Name and labels."""
TIMEOUT_S = 5.0


@dataclass(frozen=True, slots=True)
class Sample:
    """Every number of one moment."""

    at_s: float
    """By a monotonic clock."""
    values: Mapping[Series, float] = field(default_factory=dict)

    def total(self, name: str, **labels: str) -> float:
        """Sum over the series of a name that have these labels."""
        return sum(value for _, value in self.series(name, **labels))

    def series(self, name: str, **labels: str) -> list[tuple[dict[str, str], float]]:
        """(labels, value) of the series of a name that have these labels."""
        wanted = labels.items()
        return [(dict(has), value) for (one, has), value in self.values.items() if one == name and wanted <= has]


@dataclass(frozen=True, slots=True)
class Scraper:
    url: str
    api_key: str = ""
    tls_ca: Path | None = None
    tls_cert: Path | None = None
    tls_key: Path | None = None

    def text(self) -> str:
        """The page as it is.

        Raises:
            OSError: nobody answers there, or it is refused; says which.
        """
        headers = {"Authorization": f"Bearer {self.api_key}"} if self.api_key else {}
        request = urllib.request.Request(self.url, headers=headers)  # noqa: S310 - the caller's own address
        try:
            with urllib.request.urlopen(request, timeout=TIMEOUT_S, context=self._context()) as answer:  # noqa: S310
                content: bytes = answer.read()
                return content.decode()
        except urllib.error.HTTPError as refused:
            with refused:
                raise OSError(f"{self.url} answers {refused.code}: {refused.read(500).decode().strip()}") from None
        except urllib.error.URLError as error:
            raise OSError(f"no metrics at {self.url}: {error.reason}") from None

    def _context(self) -> ssl.SSLContext | None:
        if not self.url.startswith("https:"):
            return None
        context = ssl.create_default_context(cafile=str(self.tls_ca) if self.tls_ca else None)
        if self.tls_cert and self.tls_key:
            context.load_cert_chain(self.tls_cert, self.tls_key)
        return context


def parse(text: str, at_s: float) -> Sample:
    """The numbers of a page in Prometheus's text format.

    Raises:
        ValueError: it is another format.
    """
    return Sample(
        at_s,
        {
            (sample.name, frozenset(sample.labels.items())): sample.value
            for family in text_string_to_metric_families(text)
            for sample in family.samples
        },
    )
