"""These tests make loads fail by the thousand, and nobody wants to read the stacks."""

from collections.abc import Iterator

import pytest
import structlog


def drop(*_args: object) -> None:
    raise structlog.DropEvent


@pytest.fixture(autouse=True)
def _quiet() -> Iterator[None]:
    before = structlog.get_config()["processors"]
    structlog.configure(processors=[drop])
    yield
    structlog.configure(processors=before)
