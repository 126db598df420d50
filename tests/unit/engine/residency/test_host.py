"""The tier behind the device. Played step by step."""

from tests.fixtures.fake_loader import RecordedMetrics
from tests.fixtures.house import House, three
from voxswap_server.domain import CacheState
from voxswap_server.engine.residency import ResidencyConfig, ResidencyManager
from voxswap_server.errors import VoiceNotFound


def test_what_leaves_the_device_stays_on_the_host_and_comes_back_from_there():
    house = House(three(), 20, host=100)
    house.touch("a", "b", "c")
    assert house.used("host") == 10
    assert {one.voice_id for one in house.manager.residents() if one.tier == "host"} == {"a"}
    lease = house.take("a").future.result()
    assert lease.cache_state is CacheState.HOST
    assert house.loader.calls["load:t2s-a"] == 1
    assert house.loader.calls["promote:t2s-a"] == 1
    assert house.metrics.loaded[-1] == ("a", CacheState.HOST, True)


def test_a_copy_that_is_still_on_the_host_is_not_made_again():
    house = House(three(), 20, host=100)
    house.touch("a", "b", "c", "a", "b", "c", "a")
    assert house.loader.calls["demote:t2s-a"] == 1
    assert house.loader.calls["load:t2s-a"] == 1
    assert house.used("device") == 20


def test_the_host_drops_the_least_recently_used():
    house = House({name: {name: 10} for name in "abcd"}, 10, host=20)
    house.touch("a", "b", "c", "d")
    assert house.on_host() == {"b", "c"}
    assert house.used("host") == 20


def test_the_host_drops_first_what_the_device_has_too():
    house = House({name: {name: 10} for name in "abcd"}, 20, host=20)
    house.touch("a", "b", "c", "d")
    house.touch("a")  # comes up and its copy stays; c goes down for it
    assert house.on_host() == {"c"}
    assert house.used("host") == 20
    house.touch("b")  # d goes down for it, in the place of the copy of a
    assert house.on_host() == {"c", "d"}
    assert house.used("host") == 20
    assert house.on_device() == {"a", "b"}


def test_a_part_too_large_for_the_host_is_dropped():
    house = House({"a": {"a": 10}, "b": {"b": 10}}, 10, host=5)
    house.touch("a", "b", "a")
    assert house.used("host") == 0
    assert house.loader.calls["load:a"] == 2


def test_a_part_of_which_no_copy_is_wanted_is_dropped_and_its_fellows_are_kept():
    house = House({"a": {"a": 6, "on-host-anyway": 4}, "b": {"b": 10}}, 10, host=100)
    house.loader.without_host_copy.add("on-host-anyway")
    house.touch("a", "b")
    assert {part.key for part in house.manager._core.books.host.parts()} == {"a"}
    assert (house.used("device"), house.used("host")) == (10, 6)
    house.touch("a")
    assert house.loader.calls["load:a"] == 1
    assert house.loader.calls["load:on-host-anyway"] == 2


def test_a_failed_demotion_costs_only_the_copy():
    house = House({"a": {"a": 10}, "b": {"b": 10}}, 10, host=100)
    house.loader.fail("demote:a", MemoryError())
    house.touch("a", "b")
    assert (house.used("device"), house.used("host")) == (10, 0)
    house.touch("a")


def test_a_host_copy_that_is_no_good_is_dropped_and_the_disk_is_read():
    house = House({"a": {"a": 10}, "b": {"b": 10}}, 10, host=100)
    house.touch("a", "b")
    house.loader.fail("promote:a", OSError())
    house.touch("a")
    assert house.loader.calls["load:a"] == 2
    assert {part.key for part in house.manager._core.books.host.parts()} == {"b"}


def test_unload_and_reload_leave_nothing_of_a_voice_on_the_host():
    house = House({"a": {"a": 10}, "b": {"b": 10}}, 10, host=100)
    house.touch("a", "b")
    house.unload("a")
    house.steps.run_all()
    assert house.used("host") == 0
    assert house.take("a").future.result().cache_state is CacheState.DISK


def test_unload_while_a_copy_is_on_its_way_to_the_host_leaves_nothing_there():
    house = House({"a": {"a": 10}, "b": {"b": 10}}, 10, host=100)
    house.touch("a")
    house.ask("b")
    house.steps.run_only("PLAN")
    assert [work.kind.name for work, _ in house.steps.pending] == ["DEMOTE"]
    house.unload("a")
    house.steps.run_all()
    assert house.used("host") == 0
    assert house.on_device() == {"b"}


def test_unload_while_a_copy_comes_back_from_the_host_leaves_nothing_there():
    house = House({"a": {"a": 10}, "b": {"b": 10}}, 10, host=100)
    house.touch("a", "b")
    waiting = house.ask("a")
    house.steps.run_only("PLAN", "DEMOTE", "RELEASE")
    assert [work.kind.name for work, _ in house.steps.pending] == ["PROMOTE"]
    house.unload("a")
    house.steps.run_all()
    waiting.future.result().bundle.speak()
    house.give(waiting)
    assert house.on_host() == {"b"}
    assert (house.used("device"), house.used("host")) == (0, 10)


def test_nothing_stays_of_a_voice_that_the_store_has_no_more():
    house = House({"a": {"a": 10}, "b": {"b": 10}}, 10, host=100)
    house.touch("a")
    del house.loader.voices["a"]
    assert isinstance(house.error("a", wants_lease=False, fresh=True), VoiceNotFound)
    house.touch("a")  # what is resident serves on
    house.touch("b")
    assert house.used("host") == 0
    assert "a" not in house.manager._core.books.roster.voices
    house.touch("b")
    house.manager._driver.step(lambda: house.manager._core.relieve(1))
    del house.loader.voices["b"]
    assert house.on_host() == set()
    house.steps.run_all()
    assert house.on_host() == {"b"}
    assert isinstance(house.error("b"), VoiceNotFound)
    assert house.used("host") == 0


def test_what_a_reload_replaced_is_not_kept_on_the_host():
    house = House({"a": {"a": 10}}, 30, host=100)
    house.touch("a")
    house.loader.voices["a"] = {"a2": 10}
    house.error("a", wants_lease=False, fresh=True)
    assert (house.used("device"), house.used("host")) == (10, 0)


def test_a_loader_without_a_host_tier_gets_none():
    house = House({"a": {"a": 10}, "b": {"b": 10}}, 10)
    house.loader.host_tier = False
    manager = ResidencyManager(
        house.loader,
        ResidencyConfig(device_budget_bytes=10, host_budget_bytes=1000),
        RecordedMetrics(),
        submit=house.steps,
    )
    assert manager.levels()["host"].budget_bytes == 0
