"""The keeper of time rests until there is something to do."""

import threading
from typing import Any

import pytest

from tests.fixtures.fake_loader import FakeLoader, RecordedMetrics
from tests.fixtures.house import House, three
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


def test_a_turn_that_ends_just_after_the_look_is_not_slept_through() -> None:
    house = House(three(), 10, min_resident_s=5.0, wait_for_room_s=30.0)
    house.touch("a")
    waiting = house.ask("b")
    house.steps.run_all()
    assert not waiting.future.done()
    house.clock.pass_s(6.0)  # between the last look and the question when to look again
    deadline_s = house.manager._core.next_deadline_s()
    assert deadline_s is not None
    assert deadline_s <= house.clock()
    house.tick(0.0)
    assert waiting.future.done()
    house.give(waiting)
