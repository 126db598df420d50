"""Reload, unload and close. Played step by step."""

import pytest

from tests.fixtures.fake_loader import FakeLoader, RecordedMetrics
from tests.fixtures.house import House, three
from voxswap_server.engine.residency import ResidencyConfig, ResidencyManager
from voxswap_server.errors import Draining, EngineError, OutOfMemory, VoiceUnusable


def test_the_old_generation_serves_while_the_new_one_loads_and_drains_after():
    house = House(three(), 100)
    old = house.take("a")
    house.loader.voices["a"] = {"t2s-new": 8, "dec-a": 2}
    reload = house.ask("a", wants_lease=False, fresh=True)
    house.steps.step()
    meanwhile = house.ask("a")
    assert meanwhile.future.result().generation == 1
    house.steps.run_all()
    assert reload.future.result().generation == 2
    assert house.loader.calls["load:dec-a"] == 1  # the unchanged half was never loaded again
    new = house.take("a")
    assert new.future.result().bundle.speak() == "a@t2s-new+dec-a"
    assert old.future.result().bundle.speak() == "a@t2s-a+dec-a"
    assert house.used() == 18
    house.give(old, meanwhile)
    assert house.used() == 10
    assert house.metrics.evicted == [("a", "reload", 0.0)]


def test_a_failed_reload_leaves_the_old_generation_serving():
    house = House(three(), 100)
    house.touch("a")
    house.loader.voices["a"] = {"t2s-new": 8, "dec-a": 2}
    house.loader.fail("load:t2s-new", VoiceUnusable("a", "broken"))
    assert isinstance(house.error("a", wants_lease=False, fresh=True), VoiceUnusable)
    assert house.take("a").future.result().bundle.speak() == "a@t2s-a+dec-a"
    assert house.used() == 10
    assert house.manager.voice_state("a").state == "resident"


def test_a_reload_for_which_there_is_no_room_leaves_the_old_generation_serving():
    house = House(three(), 15)
    house.touch("a")
    house.loader.voices["a"] = {"t2s-new": 8, "dec-a": 2}
    assert isinstance(house.error("a", wants_lease=False, fresh=True), OutOfMemory)
    assert house.take("a").future.result().generation == 1


def test_nothing_is_loaded_where_nothing_changed():
    house = House(three(), 100)
    house.touch("a")
    assert house.error("a", wants_lease=False, fresh=True) is None
    assert house.manager.residents()[0].generation == 1
    assert house.loader.calls["load:t2s-a"] == 1


def test_a_reload_during_a_load_looks_at_the_store_again():
    house = House(three(), 100)
    first = house.ask("a")
    house.steps.step()
    house.loader.voices["a"] = {"t2s-new": 8, "dec-a": 2}
    reload = house.ask("a", wants_lease=False, fresh=True)
    house.steps.run_all()
    assert first.future.result().revision == "t2s-a+dec-a"
    assert reload.future.result().generation == 2
    assert house.take("a").future.result().revision == "t2s-new+dec-a"


def test_unload_drains_and_frees_on_the_last_release_while_new_requests_load_again():
    house = House(three(), 100)
    first, second = house.take("a"), house.take("a")
    futures = house.unload("a")
    house.give(first)
    assert house.on_device() == set()
    assert not futures[0].done()
    second.future.result().bundle.speak()
    third = house.take("a")
    assert third.future.result().generation == 2
    house.give(second)
    assert futures[0].done()
    assert house.metrics.evicted == [("a", "admin", 0.0)]
    assert house.used() == 10


def test_unload_during_a_load_serves_whoever_waits_and_then_frees():
    house = House(three(), 100)
    waiting = house.ask("a")
    house.steps.step()
    futures = house.unload("a")
    house.steps.run_all()
    waiting.future.result().bundle.speak()
    assert not futures[0].done()
    house.give(waiting)
    assert futures[0].done()
    assert house.used() == 0


def test_unload_during_a_load_that_nobody_waits_for_stops_it():
    house = House(three(), 100)
    waiting = house.ask("a")
    house.steps.step()
    house.manager._close_ticket(waiting)
    futures = house.unload("a")
    house.steps.run_all()
    assert futures[0].done()
    assert house.loader.calls["assemble:a"] == 0
    assert house.used() == 0


def test_unload_unpins():
    house = House(three(), 20)
    house.ask("a", wants_lease=False, pin=True)
    house.steps.run_all()
    house.unload("a")
    house.touch("a", "b", "c")
    assert house.on_device() == {"b", "c"}


def test_closing_refuses_newcomers_and_frees_what_is_returned():
    house = House(three(), 20, wait_for_room_s=60.0)
    a, b = house.take("a"), house.take("b")
    queued = house.ask("c")
    house.steps.run_all()
    assert not house.manager.close(grace_s=0.0)
    assert isinstance(queued.future.exception(timeout=0), Draining)
    with pytest.raises(Draining):
        house.ask("a")
    house.give(a, b)
    assert house.manager.close(grace_s=0.0)
    assert house.used() == 0


def test_a_manager_that_was_not_started_says_so():
    manager = ResidencyManager(FakeLoader(three()), ResidencyConfig(device_budget_bytes=70), RecordedMetrics())
    with pytest.raises(EngineError, match="before it was started"), manager.lease_blocking("a"):
        pass
