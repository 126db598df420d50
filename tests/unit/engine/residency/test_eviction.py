"""Who goes, when, and who waits for room. Played step by step."""

from tests.fixtures.fake_loader import MIB
from tests.fixtures.house import House, three
from voxswap_server.domain import CacheState
from voxswap_server.errors import OutOfMemory, VoiceUnusable


def test_the_least_recently_used_voice_makes_room_and_no_more_than_needed():
    house = House(three(), 20)
    house.touch("a", "b", "a", "c")
    assert house.on_device() == {"a", "c"}
    assert house.metrics.evicted == [("b", "lru", 0.0)]
    assert house.metrics.loaded[-1] == ("c", CacheState.DISK, True)
    assert house.used() == 20


def test_a_leased_voice_is_never_evicted():
    house = House(three(), 20)
    a = house.take("a")
    house.touch("b", "c")
    assert house.on_device() == {"a", "c"}
    a.future.result().bundle.speak()


def test_a_pinned_voice_is_never_evicted_and_unpinning_lets_it_go():
    house = House(three(), 20)
    house.ask("a", wants_lease=False, pin=True)
    house.touch("b", "c")
    assert house.on_device() == {"a", "c"}
    house.manager._driver.step(lambda: house.manager._core.unpin("a"))
    house.touch("b")
    assert house.on_device() == {"b", "c"}


def test_when_nothing_can_go_the_error_says_what_is_missing_and_when_to_come_back():
    house = House(three(8 * MIB), 20 * MIB, min_resident_s=5.0, retry_after_s=7.0)
    leases = [house.take("a"), house.take("b")]
    house.clock.pass_s(2.0)
    error = house.error("c")
    assert isinstance(error, OutOfMemory)
    assert "'c' needs 8.0 MiB more of the 20.0 MiB" in str(error)
    assert error.retry_after_s == 3.0  # when the first turn is over
    house.clock.pass_s(10.0)
    assert house.error("c").retry_after_s == 7.0
    assert house.metrics.failed == [("c", "OUT_OF_MEMORY")] * 2
    house.give(*leases)
    house.touch("c")


def test_lack_of_room_is_no_defect_of_the_voice():
    house = House(three(), 20)
    leases = [house.take("a"), house.take("b")]
    assert isinstance(house.error("c"), OutOfMemory)
    assert house.manager.voice_state("c").state == "cold"
    house.give(*leases)
    house.touch("c")


def test_a_voice_larger_than_the_budget_is_unusable_and_nobody_goes_for_it():
    house = House(three() | {"huge": {"h": 21 * MIB}}, 20 * MIB)
    house.touch("a")
    error = house.error("huge")
    assert isinstance(error, VoiceUnusable)
    assert "21.0 MiB, and all voices together may use 20.0 MiB" in str(error)
    assert house.on_device() == {"a"}


def test_a_voice_is_not_evicted_for_another_one_before_its_turn_is_over():
    house = House(three(), 20, min_resident_s=10.0)
    house.touch("a", "b")
    house.clock.pass_s(9.0)
    assert house.error("c").retry_after_s == 1.0
    house.clock.pass_s(1.0)
    house.touch("c")
    assert house.on_device() == {"b", "c"}


def test_idle_voices_leave_when_their_time_is_up_and_leases_and_pins_hold_them():
    house = House(three(), 100, idle_ttl_s=60.0)
    a = house.take("a")
    house.touch("b", "c")
    house.ask("c", wants_lease=False, pin=True)
    assert house.tick(59.0) == house.clock.now_s + 1.0
    assert house.on_device() == {"a", "b", "c"}
    house.tick(1.0)
    assert house.on_device() == {"a", "c"}
    assert house.metrics.evicted == [("b", "ttl", 60.0)]
    house.give(a)
    assert house.tick(59.0) == house.clock.now_s + 1.0
    house.tick(1.0)
    assert house.on_device() == {"c"}


def test_an_entry_goes_only_after_its_memory_did():
    house = House(three(), 100)
    house.touch("a")
    futures = house.unload("a")
    assert [one.state for one in house.manager.residents()] == ["draining"]
    assert house.used() == 10
    assert not futures[0].done()
    house.steps.step()
    assert [one.state for one in house.manager.residents()] == ["draining"]
    house.steps.step()
    assert house.manager.residents() == []
    assert futures[0].done()
    assert house.used() == 0


def test_the_newcomer_waits_until_the_memory_of_the_evicted_is_free():
    house = House(three(), 20)
    house.touch("a", "b")
    house.ask("c")
    house.steps.run_only("PLAN")
    assert {work.kind.name for work, _ in house.steps.pending} == {"RELEASE"}
    house.steps.step()  # 8 bytes of a: the parts of c are 8 and 2
    assert sorted(work.kind.name for work, _ in house.steps.pending) == ["LOAD", "RELEASE"]
    house.steps.run_all()
    assert house.on_device() == {"b", "c"}


def test_a_voice_that_comes_back_while_it_leaves_is_loaded_after_it_has_left():
    house = House(three(), 100)
    house.touch("a")
    house.unload("a")
    ticket = house.ask("a")
    house.steps.run_only("PLAN")
    assert {work.kind.name for work, _ in house.steps.pending} == {"RELEASE"}
    house.steps.run_all()
    assert ticket.future.result().generation == 2
    assert house.used() == 10


def test_a_load_waits_for_a_lease_to_be_returned():
    house = House(three(), 20, wait_for_room_s=30.0)
    a, _b = house.take("a"), house.take("b")
    waiting = house.ask("c")
    house.steps.run_all()
    assert not waiting.future.done()
    house.give(a)
    assert waiting.future.result().bundle.speak()
    assert house.on_device() == {"b", "c"}


def test_patience_ends():
    house = House(three(), 20, wait_for_room_s=30.0)
    _held = [house.take("a"), house.take("b")]
    waiting = house.ask("c")
    house.steps.run_all()
    assert house.tick(29.5) == house.clock.now_s + 0.5
    assert not waiting.future.done()
    house.tick(0.5)
    assert isinstance(waiting.future.exception(timeout=0), OutOfMemory)
    assert house.on_device() == {"a", "b"}


def test_nobody_is_let_in_who_waits_no_more():
    house = House(three(), 20, wait_for_room_s=30.0)
    a, _b = house.take("a"), house.take("b")
    waiting = house.ask("c")
    house.steps.run_all()
    house.manager._close_ticket(waiting)
    house.give(a)
    assert house.on_device() == {"a", "b"}
    assert house.loader.calls["load:t2s-c"] == 0


def test_a_voice_that_is_always_in_use_yields_when_its_turn_is_over():
    house = House(three(), 20, min_resident_s=10.0, wait_for_room_s=60.0)
    a1 = house.take("a")
    house.clock.pass_s(1.0)
    b1 = house.take("b")
    waiting = house.ask("c")
    house.steps.run_all()
    a2 = house.take("a")  # it is still the turn of a
    house.tick(9.0)
    a3 = house.ask("a")  # not any more: this request queues behind c
    b2 = house.take("b")
    house.give(a1)
    assert not waiting.future.done()
    assert not a3.future.done()
    house.give(a2)
    assert waiting.future.result().bundle.speak()
    assert not a3.future.done()
    house.give(b1, b2, waiting)
    house.tick(10.0)
    assert a3.future.result().cache_state is CacheState.DISK
    assert house.metrics.evicted[0][:2] == ("a", "lru")


def test_a_voice_yields_no_longer_than_somebody_waits():
    house = House(three(), 20, wait_for_room_s=60.0)
    _a1, _b1 = house.take("a"), house.take("b")
    waiting = house.ask("c")
    house.steps.run_all()
    a2 = house.ask("a")
    house.steps.run_all()
    assert not a2.future.done()
    house.manager._close_ticket(waiting)
    house.steps.run_all()
    assert a2.future.result().cache_state is CacheState.DEVICE
    assert house.loader.calls["load:t2s-a"] == 1


def test_a_small_voice_may_overtake_but_not_for_ever():
    voices = three() | {"small1": {"s1": 2}, "small2": {"s2": 2}, "small3": {"s3": 2}}
    house = House(voices, 24, wait_for_room_s=60.0)
    _held = [house.take("a"), house.take("b")]
    large = house.ask("c")
    house.steps.run_all()
    house.take("small1")
    house.tick(31.0)
    late = house.ask("small2")
    house.steps.run_all()
    assert not late.future.done()
    house.tick(29.0)
    assert isinstance(large.future.exception(timeout=0), OutOfMemory)
    assert late.future.done()
