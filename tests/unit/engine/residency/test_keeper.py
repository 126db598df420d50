"""The keeper of time rests until there is something to do."""

import threading
from typing import Any

import pytest

from tests.fixtures.fake_loader import FakeLoader, RecordedMetrics
from voxswap_server.engine.residency import ResidencyConfig, ResidencyManager
from voxswap_server.engine.residency.core import Residency


def test_an_idle_manager_leaves_its_keeper_asleep(monkeypatch: pytest.MonkeyPatch) -> None:
    ticks: list[int] = []
    enough = threading.Event()
    tick = Residency.tick

    def counted(self: Residency) -> Any:
        ticks.append(1)
        if len(ticks) > 100:
            enough.set()
        return tick(self)

    monkeypatch.setattr(Residency, "tick", counted)
    loader = FakeLoader({"a": {"part": 10}})
    manager = ResidencyManager(loader, ResidencyConfig(device_budget_bytes=70), RecordedMetrics())
    manager.start()
    try:
        with manager.lease_blocking("a", timeout_s=30.0):
            pass
        assert not enough.wait(0.5), "the keeper of time never rests"
    finally:
        assert manager.close()
