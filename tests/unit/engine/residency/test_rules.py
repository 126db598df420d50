"""Each rule of residency, played step by step on a clock that stands still."""

import gc
import weakref

import pytest

from tests.fixtures.fake_loader import MIB, Clock, FakeLoader, RecordedMetrics, Steps
from voxswap_server.domain import CacheState
from voxswap_server.engine.residency import DeviceOutOfMemory, ResidencyConfig, ResidencyManager
from voxswap_server.engine.residency.voices import Ticket
from voxswap_server.errors import Draining, EngineError, OutOfMemory, VoiceNotFound, VoiceUnusable


class House:
    """A manager over a fake loader, moved by hand."""

    def __init__(self, voices: dict[str, dict[str, int]], budget: int, *, host: int = 0, **config) -> None:
        self.clock = Clock()
        self.loader = FakeLoader(voices, host_tier=host > 0)
        self.steps = Steps()
        self.metrics = RecordedMetrics()
        defaults = {"idle_ttl_s": 0.0, "min_resident_s": 0.0, "wait_for_room_s": 0.0}
        self.manager = ResidencyManager(
            self.loader,
            ResidencyConfig(device_budget_bytes=budget, host_budget_bytes=host, **(defaults | config)),
            self.metrics,
            clock=self.clock,
            wall_clock=lambda: 1.0,
            submit=self.steps,
        )

    def ask(self, voice_id: str, **how) -> Ticket:
        return self.manager._request(voice_id, **how)

    def take(self, voice_id: str) -> Ticket:
        """A lease, with everything run that it takes."""
        ticket = self.ask(voice_id)
        self.steps.run_all()
        assert ticket.future.done(), f"{voice_id} is still not there"
        ticket.future.result().bundle.speak()
        return ticket

    def give(self, *tickets: Ticket) -> None:
        for ticket in tickets:
            self.manager._close_ticket(ticket)
        self.steps.run_all()

    def touch(self, *voice_ids: str) -> None:
        for voice_id in voice_ids:
            self.give(self.take(voice_id))

    def error(self, voice_id: str, **how) -> Exception:
        """How a request fails."""
        try:
            ticket = self.ask(voice_id, **how)
        except Exception as error:
            return error
        self.steps.run_all()
        return ticket.future.exception(timeout=0)

    def tick(self, seconds: float) -> float | None:
        self.clock.pass_s(seconds)
        deadline_s = self.manager.tick()
        self.steps.run_all()
        return deadline_s

    def on_device(self) -> set[str]:
        return {one.voice_id for one in self.manager.residents() if one.tier == "device" and one.state == "resident"}

    def used(self, tier: str = "device") -> int:
        """Bytes in use, by the books and by the loader's own count."""
        levels = self.manager.levels()[tier]
        assert levels.leased_bytes + levels.evictable_bytes == self.loader.bytes_on(tier)
        return self.loader.bytes_on(tier)


def three(size: int = 10) -> dict[str, dict[str, int]]:
    return {name: {f"t2s-{name}": size - 2, f"dec-{name}": 2} for name in "abc"}


# --- leases ------------------------------------------------------------------------------------------------------


def test_a_lease_tells_where_the_voice_was_and_a_second_one_shares_it():
    house = House(three(), 100)
    ticket = house.ask("a")
    house.clock.pass_s(0.25)
    house.steps.run_all()
    first, second = ticket.future.result(), house.take("a").future.result()
    assert (first.cache_state, first.load_ms) == (CacheState.DISK, 250.0)
    assert (second.cache_state, second.load_ms) == (CacheState.DEVICE, 0.0)
    assert first.bundle is second.bundle
    assert first.generation == second.generation == 1
    assert first.revision == "t2s-a+dec-a"
    assert house.metrics.lookups == {True: 1, False: 1}
    assert house.metrics.loaded == [("a", CacheState.DISK, False)]


def test_requests_for_a_loading_voice_share_its_load():
    house = House(three(), 100)
    tickets = [house.ask("a") for _ in range(5)]
    house.steps.run_all()
    assert len({id(ticket.future.result().bundle) for ticket in tickets}) == 1
    assert house.loader.calls["load:t2s-a"] == house.loader.calls["plan:a"] == 1
    assert house.manager.residents()[0].leases == 5


def test_a_blocked_load_blocks_no_other_voice():
    house = House(three(), 100)
    blocked = house.ask("a")
    house.steps.step()  # plan of a; its parts wait from here on
    other = house.ask("b")
    while not other.future.done():
        index = next(at for at, (work, _) in enumerate(house.steps.pending) if work.about not in ("t2s-a", "dec-a"))
        house.steps.step(index)
    assert other.future.result().bundle.speak() == "b@t2s-b+dec-b"
    assert not blocked.future.done()


def test_a_waiter_that_gives_up_leaves_the_load_to_the_others_and_leaks_no_lease():
    house = House(three(), 100)
    quitter, patient = house.ask("a"), house.ask("a")
    house.manager._close_ticket(quitter)
    house.steps.run_all()
    assert patient.future.done()
    assert not quitter.future.done()
    assert house.manager.residents()[0].leases == 1


def test_a_load_goes_on_when_everybody_gives_up_once_it_has_its_parts():
    house = House(three(), 100)
    quitter = house.ask("a")
    house.steps.step()
    house.manager._close_ticket(quitter)
    house.steps.run_all()
    assert house.on_device() == {"a"}
    assert house.manager.residents()[0].leases == 0


def test_a_lease_that_was_granted_but_never_taken_is_returned():
    house = House(three(), 100)
    ticket = house.take("a")
    house.give(ticket, ticket)
    assert house.manager.residents()[0].leases == 0


# --- eviction ----------------------------------------------------------------------------------------------------


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
    house.manager._step(lambda: house.manager._core.unpin("a"))
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
    futures = house.manager._step(lambda: house.manager._core.unload("a"))
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
    house.manager._step(lambda: house.manager._core.unload("a"))
    ticket = house.ask("a")
    house.steps.run_only("PLAN")
    assert {work.kind.name for work, _ in house.steps.pending} == {"RELEASE"}
    house.steps.run_all()
    assert ticket.future.result().generation == 2
    assert house.used() == 10


# --- waiting for room --------------------------------------------------------------------------------------------


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


# --- content ----------------------------------------------------------------------------------------------------


def twins() -> dict[str, dict[str, int]]:
    return {"x": {"base": 80, "x1": 5}, "y": {"base": 80, "y1": 5}}


def test_identical_parts_are_loaded_once_and_counted_once():
    house = House(twins(), 100)
    x, y = house.ask("x"), house.ask("y")
    house.steps.run_all()
    assert house.loader.calls["load:base"] == 1
    assert house.used() == 90
    shared = {one.voice_id: (one.bytes_own, one.bytes_shared) for one in house.manager.residents()}
    assert shared == {"x": (5, 80), "y": (5, 80)}
    assert x.future.result().bundle.copies[0] is y.future.result().bundle.copies[0]


def test_what_the_newcomer_shares_with_its_victim_stays():
    house = House(twins() | {"z": {"z": 10}}, 95)
    house.touch("x", "z", "y")
    assert house.on_device() == {"z", "y"}
    assert house.loader.calls["load:base"] == 1
    assert house.used() == 95


def test_a_shared_part_goes_with_its_last_holder():
    house = House(twins(), 100)
    house.touch("x", "y")
    house.manager._step(lambda: house.manager._core.unload("x"))
    house.steps.run_all()
    assert house.used() == 85
    house.manager._step(lambda: house.manager._core.unload("y"))
    house.steps.run_all()
    assert house.used() == 0


def test_when_the_file_of_one_voice_is_bad_the_other_loads_the_content_from_its_own():
    house = House(twins(), 100)
    house.loader.fail("load-for:x", VoiceUnusable("x", "its T2S file is broken"))
    x, y = house.ask("x"), house.ask("y")
    house.steps.run_all()
    assert isinstance(x.future.exception(timeout=0), VoiceUnusable)
    assert y.future.result().bundle.speak()
    assert house.used() == 85


def test_a_part_named_twice_by_one_voice_is_one_part():
    house = House({"x": {"same": 10}}, 15)
    plan = house.loader.plan("x")
    house.loader.plan = lambda _voice: type(plan)(plan.revision, plan.parts * 2)
    lease = house.take("x").future.result()
    assert lease.bundle.copies[0] is lease.bundle.copies[1]
    assert house.used() == 10


# --- failures ---------------------------------------------------------------------------------------------------


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


# --- a full device ----------------------------------------------------------------------------------------------


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
    house.manager._submit = lambda _work, run: run()
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


# --- reload, unload, close ----------------------------------------------------------------------------------------


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
    futures = house.manager._step(lambda: house.manager._core.unload("a"))
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
    futures = house.manager._step(lambda: house.manager._core.unload("a"))
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
    futures = house.manager._step(lambda: house.manager._core.unload("a"))
    house.steps.run_all()
    assert futures[0].done()
    assert house.loader.calls["assemble:a"] == 0
    assert house.used() == 0


def test_unload_unpins():
    house = House(three(), 20)
    house.ask("a", wants_lease=False, pin=True)
    house.steps.run_all()
    house.manager._step(lambda: house.manager._core.unload("a"))
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


# --- the host tier ----------------------------------------------------------------------------------------------


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


def on_host(house: House) -> set[str]:
    return {one.voice_id for one in house.manager.residents() if one.tier == "host"}


def test_the_host_drops_the_least_recently_used():
    house = House({name: {name: 10} for name in "abcd"}, 10, host=20)
    house.touch("a", "b", "c", "d")
    assert on_host(house) == {"b", "c"}
    assert house.used("host") == 20


def test_the_host_drops_first_what_the_device_has_too():
    house = House({name: {name: 10} for name in "abcd"}, 20, host=20)
    house.touch("a", "b", "c", "d")
    house.touch("a")  # comes up and its copy stays; c goes down for it
    assert on_host(house) == {"c"}
    assert house.used("host") == 20
    house.touch("b")  # d goes down for it, in the place of the copy of a
    assert on_host(house) == {"c", "d"}
    assert house.used("host") == 20
    assert house.on_device() == {"a", "b"}


def test_a_part_too_large_for_the_host_is_dropped():
    house = House({"a": {"a": 10}, "b": {"b": 10}}, 10, host=5)
    house.touch("a", "b", "a")
    assert house.used("host") == 0
    assert house.loader.calls["load:a"] == 2


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
    house.manager._step(lambda: house.manager._core.unload("a"))
    house.steps.run_all()
    assert house.used("host") == 0
    assert house.take("a").future.result().cache_state is CacheState.DISK


def test_unload_while_a_copy_is_on_its_way_to_the_host_leaves_nothing_there():
    house = House({"a": {"a": 10}, "b": {"b": 10}}, 10, host=100)
    house.touch("a")
    house.ask("b")
    house.steps.run_only("PLAN")
    assert [work.kind.name for work, _ in house.steps.pending] == ["DEMOTE"]
    house.manager._step(lambda: house.manager._core.unload("a"))
    house.steps.run_all()
    assert house.used("host") == 0
    assert house.on_device() == {"b"}


def test_unload_while_a_copy_comes_back_from_the_host_leaves_nothing_there():
    house = House({"a": {"a": 10}, "b": {"b": 10}}, 10, host=100)
    house.touch("a", "b")
    waiting = house.ask("a")
    house.steps.run_only("PLAN", "DEMOTE", "RELEASE")
    assert [work.kind.name for work, _ in house.steps.pending] == ["PROMOTE"]
    house.manager._step(lambda: house.manager._core.unload("a"))
    house.steps.run_all()
    waiting.future.result().bundle.speak()
    house.give(waiting)
    assert on_host(house) == {"b"}
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
    house.manager._step(lambda: house.manager._core.relieve(1))
    del house.loader.voices["b"]
    assert on_host(house) == set()
    house.steps.run_all()
    assert on_host(house) == {"b"}
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
