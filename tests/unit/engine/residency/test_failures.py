"""Loads that fail, devices that are full, headers that lie. Played step by step."""

import gc
import weakref

from tests.fixtures.house import House, three
from voxswap_server.engine.residency import DeviceOutOfMemory
from voxswap_server.errors import EngineError, OutOfMemory, VoiceNotFound, VoiceUnusable


def test_every_waiter_gets_an_error_of_its_own_and_nothing_stays_in_memory():
    house = House(three(), 100)
    house.loader.fail("load:dec-a", VoiceUnusable("a", "its decoder is broken"))
    tickets = [house.ask("a"), house.ask("a")]
    house.steps.run_all()
    errors = [ticket.future.exception(timeout=0) for ticket in tickets]
    assert [str(error) for error in errors] == ["voice 'a' cannot be used: its decoder is broken"] * 2
    assert errors[0] is not errors[1]
    assert house.used() == 0
    assert house.manager.residents() == []
    assert house.metrics.failed == [("a", "VOICE_UNUSABLE")]


def test_a_bug_of_the_loader_is_told_as_ours_without_internals():
    house = House(three(), 100)
    house.loader.fail("assemble:a", KeyError("/secret/path"))
    error = house.error("a")
    assert isinstance(error, EngineError)
    assert "secret" not in str(error)
    assert house.used() == 0


def test_a_failed_load_is_not_tried_again_in_a_storm():
    house = House(three(), 100, backoff_s=4.0)
    house.loader.fail("load:t2s-a", VoiceUnusable("a", "broken"), VoiceUnusable("a", "broken"))
    assert "again" not in str(house.error("a"))
    for _ in range(5):
        assert "it will be tried again in 4 s" in str(house.error("a"))
    assert house.loader.calls["load:t2s-a"] == 1
    assert house.manager.voice_state("a").state == "broken"
    house.clock.pass_s(4.0)
    assert "again" not in str(house.error("a"))
    assert "again in 8 s" in str(house.error("a"))
    house.clock.pass_s(8.0)
    house.touch("a")
    assert house.manager.voice_state("a").state == "resident"


def test_a_plan_that_fails_is_not_even_read_again_before_its_time():
    house = House(three(), 100)
    house.loader.fail("plan:a", VoiceUnusable("a", "no manifest"))
    house.error("a")
    assert "again in 1 s" in str(house.error("a"))
    assert house.loader.calls["plan:a"] == 1


def test_a_changed_voice_is_tried_at_once():
    house = House(three(), 100, backoff_s=60.0)
    house.loader.fail("load:t2s-a", VoiceUnusable("a", "broken"))
    house.error("a")
    house.loader.revisions["a"] = "mended"
    assert house.take("a").future.result().revision == "mended"


def test_an_operator_may_try_at_once():
    house = House(three(), 100, backoff_s=60.0)
    house.loader.fail("load:t2s-a", VoiceUnusable("a", "broken"))
    house.error("a")
    assert house.error("a", wants_lease=False, fresh=True) is None
    assert house.on_device() == {"a"}


def test_an_unknown_voice_is_remembered_nowhere():
    house = House(three(), 100)
    assert isinstance(house.error("ghost"), VoiceNotFound)
    assert isinstance(house.error("ghost"), VoiceNotFound)
    assert house.loader.calls["plan:ghost"] == 2
    assert house.manager._core.books.roster.voices == {}
    assert house.metrics.failed == []


def test_a_failed_load_keeps_no_memory_alive_through_its_traceback():
    class Weights: ...

    house = House(three(), 100)
    alive: list[weakref.ref] = []

    def load_and_fail(_call: str, about: str) -> None:
        if about == "t2s-a":
            weights = Weights()
            alive.append(weakref.ref(weights))
            raise ValueError(weights)

    house.loader.before = load_and_fail
    error = house.error("a")
    assert isinstance(error, EngineError)
    gc.collect()
    assert [reference() for reference in alive] == [None]


def test_out_of_device_memory_evicts_and_tries_once_more():
    house = House(three(), 100)
    house.touch("a", "b")
    house.loader.fail("load:t2s-c", DeviceOutOfMemory())
    house.touch("c")
    assert house.on_device() == {"b", "c"}
    assert house.metrics.evicted == [("a", "memory", 0.0)]


def test_the_retry_waits_until_the_evicted_memory_is_free():
    house = House(three(), 100)
    house.touch("a")
    house.loader.fail("load:t2s-c", DeviceOutOfMemory())
    house.ask("c")
    house.steps.run_only("PLAN", "LOAD")
    assert {work.kind.name for work, _ in house.steps.pending} == {"RELEASE"}
    house.steps.run_all()
    assert house.on_device() == {"c"}


def test_a_second_time_it_is_the_typed_error_and_the_process_stays_well():
    house = House(three(), 100, backoff_s=5.0)
    b = house.take("b")
    house.touch("a")
    house.loader.fail("load:t2s-c", DeviceOutOfMemory(), DeviceOutOfMemory())
    error = house.error("c")
    assert isinstance(error, OutOfMemory)
    assert house.on_device() == {"b"}
    assert house.used() == 10
    again = house.error("c")
    assert isinstance(again, OutOfMemory)
    assert again.retry_after_s == 5.0
    assert house.loader.calls["load:t2s-c"] == 2
    house.clock.pass_s(5.0)
    house.touch("c")
    b.future.result().bundle.speak()


def test_with_nothing_to_evict_there_is_no_retry():
    house = House(three(), 100)
    house.loader.fail("load:t2s-c", DeviceOutOfMemory())
    assert isinstance(house.error("c"), OutOfMemory)
    assert house.loader.calls["load:t2s-c"] == 1
    assert house.used() == 0


def test_a_full_device_while_assembling_evicts_and_tries_once_more():
    house = House(three(), 100)
    house.touch("a", "b")
    house.loader.fail("assemble:c", DeviceOutOfMemory())
    house.touch("c")
    assert house.on_device() == {"b", "c"}
    house.loader.fail("assemble:a", DeviceOutOfMemory(), DeviceOutOfMemory())
    assert isinstance(house.error("a"), OutOfMemory)
    assert house.used() == 10


def test_others_may_ask_for_memory():
    house = House(three(), 100)
    lease = house.take("c")
    house.touch("a", "b")
    house.manager._driver._submit = lambda _work, run: run()
    assert house.manager.relieve_blocking(11)
    assert house.on_device() == {"c"}
    assert [reason for _, reason, _ in house.metrics.evicted] == ["memory", "memory"]
    assert not house.manager.relieve_blocking(1)
    lease.future.result().bundle.speak()


def test_a_part_larger_than_planned_makes_others_go():
    house = House(three(), 25)
    house.touch("a", "b")
    house.loader.measured["t2s-c"] = 14
    house.touch("c")
    assert house.on_device() == {"c"}
    assert house.used() == 16
    assert house.manager._core.books.store.size_bytes(house.loader.plan("c").parts[0]) == 14


def test_a_part_larger_than_planned_for_which_nobody_can_go_is_refused_and_its_size_remembered():
    house = House(three(), 25)
    _held = [house.take("a")]
    b = house.take("b")
    house.loader.voices["c"] = {"c": 5}
    house.loader.measured["c"] = 7
    error = house.error("c")
    assert isinstance(error, OutOfMemory)
    assert house.used() == 20
    house.give(b)
    house.touch("c")
    assert house.on_device() == {"a", "c"}
