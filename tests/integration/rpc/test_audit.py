"""What happens to voices in memory is on record, whoever caused it."""

import asyncio

import pytest
import structlog

from tests.fixtures.fake_engine import Changes, FakeAdmin
from voxswap_server.app import audit_residency


async def test_loads_and_evictions_are_audited():
    lines, told, residency = [], Changes(), FakeAdmin()

    def keep(_logger, _level, line):
        lines.append(line)
        told.tell()
        raise structlog.DropEvent

    structlog.reset_defaults()  # an earlier test may have left a level under which nothing is written
    structlog.configure(processors=[keep])
    try:
        recorder = asyncio.create_task(audit_residency(residency))
        await residency.changes.until(lambda: residency.watchers)
        await residency.pin_voice("narrator")
        await residency.unload_voice("narrator")
        await told.until(lambda: len(lines) == 2)
    finally:
        structlog.reset_defaults()
    assert [(line["event"], line["action"], line["voice"], line["reason"]) for line in lines] == [
        ("audit", "loaded", "narrator", ""),
        ("audit", "evicted", "narrator", "admin"),
    ]
    recorder.cancel()
    with pytest.raises(asyncio.CancelledError):
        await recorder
    assert not residency.watchers
