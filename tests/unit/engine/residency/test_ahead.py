"""Voices that are brought in before the turn of their requests. Played step by step."""

import pytest

from tests.fixtures.fake_loader import MIB
from tests.fixtures.house import House, three
from voxswap_server.domain import CacheState
from voxswap_server.errors import OutOfMemory, VoiceNotFound, VoiceUnusable


def soon(house, voice_id):
    """Somebody will lease this voice."""
    return house.manager._driver.step(lambda: house.manager._core.request_ahead(voice_id))


def test_it_is_there_when_it_is_leased_and_the_lease_says_where_it_was():
    house = House(three(), 20)
    ticket = soon(house, "a")
    house.steps.run_all()
    assert house.on_device() == {"a"}
    lease = house.take("a")
    assert lease.future.result().cache_state is CacheState.DISK
    assert house.metrics.lookups == {False: 1}
    house.give(ticket, lease)
    again = house.take("a")
    assert again.future.result().cache_state is CacheState.DEVICE
    assert again.future.result().load_ms == 0
    assert house.loader.calls["plan:a"] == 1


def test_a_lease_joins_the_load_that_began_ahead():
    house = House(three(), 20)
    soon(house, "a")
    house.steps.step()  # the plan
    lease = house.ask("a")
    house.steps.run_all()
    assert lease.future.result().bundle.speak().startswith("a@")
    assert house.loader.calls["load:t2s-a"] == 1


def test_so_many_at_once_in_the_order_of_the_requests():
    house = House({name: {name: 2} for name in "abcd"}, 20, loads_ahead=2)
    for name in "abcd":
        soon(house, name)
    assert [work.kind.name for work, _ in house.steps.pending] == ["PLAN", "PLAN"]
    house.steps.run_only("PLAN")
    assert [call for call in house.loader.calls if call.startswith("plan:")] == ["plan:a", "plan:b"]
    house.steps.run_all()
    assert house.on_device() == {"a", "b", "c", "d"}


def test_none_at_all_where_the_config_says_so():
    house = House(three(), 20, loads_ahead=0)
    soon(house, "a")
    assert not house.steps.pending


def test_who_gives_up_before_the_load_began_costs_nothing():
    house = House(three(), 20)
    soon(house, "a")
    house.give(soon(house, "b"))
    house.steps.run_all()
    assert house.on_device() == {"a"}
    assert house.loader.calls["plan:b"] == 0


def test_who_gives_up_while_it_waits_for_room_takes_none():
    house = House(three(), 20)
    leases = [house.take("a"), house.take("b")]
    ticket = soon(house, "c")
    house.steps.run_all()
    house.give(ticket)
    house.give(*leases)
    house.steps.run_all()
    assert house.on_device() == {"a", "b"}
    assert house.loader.calls["load-for:c"] == 0


def test_it_never_takes_the_place_of_a_leased_voice_and_never_loses_its_patience():
    house = House(three(), 20, wait_for_room_s=5.0)
    leases = [house.take("a"), house.take("b")]
    soon(house, "c")
    house.steps.run_all()
    house.clock.pass_s(100.0)
    house.manager.tick()
    assert house.on_device() == {"a", "b"}
    assert house.metrics.failed == []
    house.give(leases[0])
    house.steps.run_all()
    assert house.on_device() == {"b", "c"}


def test_an_idle_voice_that_another_request_waits_for_stays():
    house = House(three(), 20)
    house.touch("a", "b")
    first = soon(house, "a")
    soon(house, "b")
    soon(house, "c")
    house.steps.run_all()
    assert house.on_device() == {"a", "b"}
    house.give(first)
    house.steps.run_all()
    assert house.on_device() == {"b", "c"}


def test_a_lease_comes_first_and_may_evict_what_was_brought_in_ahead_at_once():
    """Even before the turn of what nobody has used is over."""
    house = House(three(), 20, min_resident_s=60.0)
    held = house.take("a")
    soon(house, "b")
    house.steps.run_all()
    lease = house.take("c")
    assert lease.future.result().bundle.speak().startswith("c@")
    assert house.on_device() == {"a", "c"}
    house.give(held, lease)


def test_nobody_is_refused_for_what_loads_ahead():
    """Not even where nobody waits for room: what holds it will go in a moment."""
    house = House(three(), 10, wait_for_room_s=0.0)
    soon(house, "b")
    house.steps.run_only("PLAN")
    lease = house.ask("a")
    house.steps.run_only("PLAN")
    house.manager.tick()
    assert not lease.future.done()
    house.steps.run_all()
    assert lease.future.result().bundle.speak().startswith("a@")
    assert house.on_device() == {"a"}


def test_a_reload_does_not_wait_for_ever_behind_a_load_that_nobody_waits_for():
    house = House(three(), 10)
    first = soon(house, "a")
    house.steps.run_all()
    second = soon(house, "b")
    house.steps.run_all()
    assert house.on_device() == {"a"}
    reload = house.ask("b", wants_lease=False, fresh=True)
    house.steps.run_all()
    house.tick(1.0)
    assert reload.future.result().voice_id == "b"
    assert house.loader.calls["plan:b"] == 2
    house.give(first, second)


def test_nor_where_no_room_can_be_made():
    house = House(three(), 10, wait_for_room_s=5.0)
    held, second = house.take("a"), soon(house, "b")
    house.steps.run_all()
    reload = house.ask("b", wants_lease=False, fresh=True)
    house.tick(4.9)
    assert not reload.future.done()
    house.tick(0.2)  # for the load before it
    house.tick(5.1)  # for its own
    assert isinstance(reload.future.exception(timeout=0), OutOfMemory)
    house.give(held, second)


def test_a_lease_evicts_what_nobody_awaits_before_what_somebody_does():
    house = House(three(), 20)
    house.touch("a", "b")
    soon(house, "a")
    house.touch("b", "c")
    assert house.on_device() == {"a", "c"}


def test_while_a_lease_waits_for_room_nothing_comes_in_ahead():
    house = House(three() | {"tiny": {"t": 1}}, 21, wait_for_room_s=50.0)
    leases = [house.take("a"), house.take("b")]
    waiter = house.ask("c")
    soon(house, "tiny")
    house.steps.run_all()
    assert not waiter.future.done()
    assert "tiny" not in house.on_device()
    house.give(leases[0])
    house.steps.run_all()
    assert waiter.future.result().bundle.speak().startswith("c@")
    assert house.on_device() == {"b", "c", "tiny"}


def test_patience_counts_from_when_somebody_really_waits():
    house = House(three(), 20, wait_for_room_s=5.0)
    leases = [house.take("a"), house.take("b")]
    soon(house, "c")
    house.steps.run_all()
    house.clock.pass_s(100.0)
    waiter = house.ask("c")
    house.clock.pass_s(4.0)
    house.manager.tick()
    assert not waiter.future.done()
    house.clock.pass_s(1.0)
    house.manager.tick()
    assert isinstance(waiter.future.exception(), OutOfMemory)
    house.give(*leases)


@pytest.mark.parametrize(
    ("voice_id", "told", "counted"),
    [("a", VoiceUnusable, ["a"]), ("nobody", VoiceNotFound, [])],
)
def test_a_failure_is_told_to_whoever_leases_it_and_to_nobody_else(voice_id, told, counted):
    house = House(three(), 20)
    house.loader.fail("load:t2s-a", *[VoiceUnusable("a", "broken")] * 2)
    soon(house, voice_id)
    house.steps.run_all()
    assert house.metrics.failed == []
    assert isinstance(house.error(voice_id), told)
    assert [name for name, _ in house.metrics.failed] == counted


def test_a_voice_that_failed_lately_is_not_tried_ahead():
    house = House(three(), 20)
    house.loader.fail("plan:a", VoiceUnusable("a", "broken"))
    house.error("a")
    soon(house, "a")
    assert not house.steps.pending


def test_the_end_of_the_server_ends_it():
    house = House({"a": {"a": 2 * MIB}, "b": {"b": 2 * MIB}}, 20 * MIB)
    for name in "ab":
        soon(house, name)
    house.manager.close(grace_s=0.0)
    house.steps.run_all()
    assert house.manager.close(grace_s=0.0)
    assert house.loader.calls["plan:b"] == 0
    with house.manager.ahead("a"):
        assert not house.steps.pending
