"""Who holds a voice, and what is shared between voices. Played step by step."""

from tests.fixtures.house import House, three
from voxswap_server.domain import CacheState
from voxswap_server.errors import VoiceUnusable


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
    held = [work for work, _ in house.steps.pending]
    other = house.ask("b")
    while not other.future.done():
        index = next(at for at, (work, _) in enumerate(house.steps.pending) if work not in held)
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
    house.unload("x")
    house.steps.run_all()
    assert house.used() == 85
    house.unload("y")
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
