"""Networks that voices share, under the rules of voices: one budget, LRU among all, leases, single flight, back-off."""

import asyncio
import random
import threading
from concurrent.futures import Future
from contextlib import ExitStack

import pytest

from tests.fixtures.fake_loader import FakeLoader, RecordedMetrics
from tests.fixtures.house import House
from voxswap_server.engine.residency import ResidencyConfig, ResidencyManager, network_id, network_name
from voxswap_server.errors import AssetMissing, OutOfMemory

BERT, HUBERT = network_id("bert"), network_id("hubert")
CONTENTS = {
    "a": {"t2s-a": 6, "dec-a": 4},
    "b": {"t2s-b": 6, "dec-b": 4},
    "c": {"t2s-c": 6, "vocoder": 4},
    "d": {"t2s-d": 6, "vocoder": 4},
    BERT: {"bert": 13},
    HUBERT: {"hubert": 7},
}


def house(budget: int, **config) -> House:
    return House({name: dict(parts) for name, parts in CONTENTS.items()}, budget, **config)


def networks(house: House) -> dict[str, int]:
    return dict(house.manager.networks())


def test_an_id_is_a_networks_or_a_voices():
    assert network_name(BERT) == "bert"
    assert network_name("bert") is None


def test_voices_and_networks_are_counted_together_and_told_apart():
    home = house(40)
    home.touch("a", BERT, HUBERT, "c")
    assert home.used() == 10 + 13 + 7 + 10
    assert networks(home) == {"bert": 13, "hubert": 7}
    assert home.on_device() == {"a", "c"}
    assert home.manager.levels()["device"].residents == 2
    stats = asyncio.run(home.manager.cache_stats())
    assert (stats.bytes_used["device"], stats.residents["device"], stats.loads) == (40, 2, 2)
    assert stats.networks == {"bert": 13, "hubert": 7}
    assert (stats.hits, stats.misses) == ({"voices": 0, "networks": 0}, {"voices": 2, "networks": 2})
    assert [what[:2] for what in home.metrics.networks] == [("loaded", "bert"), ("loaded", "hubert")]
    assert [loaded[0] for loaded in home.metrics.loaded] == ["a", "c"]


def test_the_least_recently_used_goes_whether_voice_or_network():
    home = house(30)
    home.touch("a", HUBERT, BERT)
    home.touch("a")
    home.touch("b")  # 10 more of 30: the 7 of hubert do not do, so bert, which is next, goes alone
    assert networks(home) == {"hubert": 7}
    home.touch("c")
    assert home.on_device() | set(networks(home)) == {"a", "b", "c"}
    home.touch(BERT)
    assert home.on_device() | set(networks(home)) == {"c", "bert"}
    assert ("evicted", "bert", "lru") in home.metrics.networks
    assert asyncio.run(home.manager.cache_stats()).evictions == {"lru": 2}  # of voices


def test_a_network_in_use_never_goes():
    home = house(23)
    ticket = home.take(BERT)
    home.touch("a")
    home.touch("b")
    assert home.on_device() == {"b"}
    assert networks(home) == {"bert": 13}
    home.loader.voices["huge"] = {"huge": 20}
    assert isinstance(home.error("huge"), OutOfMemory)
    assert ticket.future.result().bundle.speak() == f"{BERT}@bert"
    assert home.manager.levels()["device"].leased_bytes == 13
    home.give(ticket)
    home.touch("huge")
    assert networks(home) == {}


def test_what_lacks_room_says_which_network():
    home = house(20)
    home.take("a")
    error = home.error(BERT)
    assert isinstance(error, OutOfMemory)
    assert "the shared network 'bert' needs" in error.message
    home = house(12)
    error = home.error(BERT)
    assert isinstance(error, OutOfMemory)
    assert "the shared network 'bert' cannot be used: it needs" in error.message


def test_a_vocoder_of_two_voices_is_held_once():
    home = house(40)
    first = home.take("c")
    home.touch("d")
    assert home.used() == 6 + 6 + 4
    home.give(first)
    home.touch("a", "b")
    home.touch(BERT)
    assert home.loader.calls["load:vocoder"] == 1
    assert home.used() <= 40


def test_a_load_is_shared_and_a_failed_one_leaves_nothing():
    home = house(40)
    home.loader.fail("load:bert", AssetMissing("bert", "what is installed cannot be used"))
    tickets = [home.ask(BERT) for _ in range(5)]
    home.steps.run_all()
    assert {type(ticket.future.exception(0)) for ticket in tickets} == {AssetMissing}
    assert home.loader.calls["load:bert"] == 1
    assert home.used() == 0
    assert home.metrics.networks == [("failed", "bert", "ASSET_MISSING")]
    assert isinstance(home.error(BERT), AssetMissing)  # it is not read again at once
    assert home.loader.calls["load:bert"] == 1
    home.clock.pass_s(2.0)
    home.touch(BERT)
    assert networks(home) == {"bert": 13}
    assert asyncio.run(home.manager.cache_stats()).load_failures == 0  # of voices


def test_what_is_not_installed_has_not_failed_and_is_looked_for_again():
    home = house(40)
    for _ in range(3):
        home.loader.fail(f"plan:{BERT}", AssetMissing("bert", "it is not installed"))
        assert isinstance(home.error(BERT), AssetMissing)
    assert home.metrics.networks == []
    home.touch(BERT)
    assert networks(home) == {"bert": 13}


def test_idle_networks_go_when_their_time_is_up():
    home = house(40, idle_ttl_s=10.0)
    home.touch(BERT)
    ticket = home.take(HUBERT)
    home.tick(11.0)
    assert networks(home) == {"hubert": 7}
    assert home.metrics.networks[-1] == ("evicted", "bert", "ttl")
    home.give(ticket)


def test_a_network_always_in_use_does_not_yield_to_whoever_waits_for_a_voice():
    """They may be the same request, which would wait for itself."""
    home = house(23, wait_for_room_s=30.0)
    bert, first = home.take(BERT), home.take("a")
    waiting = home.ask("b")
    home.steps.run_all()
    home.clock.pass_s(5.0)
    home.give(home.take(BERT))
    assert not waiting.future.done()
    home.give(first)
    assert waiting.future.done()
    home.give(waiting, bert)


def test_a_new_revision_is_loaded_when_it_is_asked_for():
    home = house(40)
    home.touch(BERT)
    home.loader.voices[BERT] = {"bert2": 9}
    refreshed = threading.Thread(target=home.manager.refresh_blocking, args=(BERT,))
    refreshed.start()
    while refreshed.is_alive():
        if home.steps.pending:
            home.steps.step()
    refreshed.join()
    home.steps.run_all()
    assert networks(home) == {"bert": 9}


def test_a_routine_waits_in_its_own_way_and_gives_back_at_the_end_of_its_block():
    home = house(40)
    with home.manager.lease_later(BERT) as pending:
        assert isinstance(pending, Future)
        assert not pending.done()
        home.steps.run_all()
        assert pending.result(0).bundle.speak() == f"{BERT}@bert"
        assert home.manager.levels()["device"].leased_bytes == 13
    assert home.manager.levels()["device"].leased_bytes == 0
    with home.manager.lease_later(HUBERT) as pending:  # whoever gives up leaves nothing behind
        pass
    home.steps.run_all()
    assert networks(home) == {"bert": 13}
    assert home.manager.levels()["device"].leased_bytes == 0


NEEDS = {"a": (), "b": (HUBERT,), "c": (HUBERT, BERT), "d": (BERT,)}


def test_a_storm_on_a_budget_that_cannot_hold_everything():
    """Networks first, in one order, the voice last: with room for all networks and one voice, everybody speaks."""
    chance, never = random.Random(5), threading.Event()
    metrics = RecordedMetrics()
    loader = FakeLoader(
        {name: dict(parts) for name, parts in CONTENTS.items()},
        before=lambda _call, _about: never.wait(chance.random() * 0.002) and None,
    )
    config = ResidencyConfig(device_budget_bytes=30, wait_for_room_s=60.0, min_resident_s=0.002)
    manager = ResidencyManager(loader, config, metrics)
    manager.start()
    spoken: list[str] = []
    errors: list[BaseException] = []

    def client(index: int) -> None:
        draw = random.Random(index)
        try:
            for _ in range(25):
                voice = draw.choice("abcd")
                with ExitStack() as held:
                    leases = [
                        held.enter_context(manager.lease_blocking(name, timeout_s=120.0))
                        for name in (*NEEDS[voice], voice)
                    ]
                    spoken.extend(lease.bundle.speak() for lease in leases)
        except BaseException as error:
            errors.append(error)

    threads = [threading.Thread(target=client, args=(index,)) for index in range(12)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(120.0)
        assert not thread.is_alive(), "a thread is stuck"
    assert not errors, errors[0]
    assert manager.close(grace_s=20.0)
    assert len([one for one in spoken if not one.startswith("network:")]) == 12 * 25
    assert not loader.live
    came = [what[1] for what in metrics.networks if what[0] == "loaded"]
    went = [what[1] for what in metrics.networks if what[0] == "evicted"]
    assert sorted(came) == sorted(went)
    assert not [what for what in metrics.networks if what[0] == "failed"]
    assert not metrics.failed


def test_closing_drains_networks_too():
    home = house(40)
    home.touch(BERT, "a")
    home.manager.close(grace_s=0.0)
    home.steps.run_all()
    assert home.manager.close(grace_s=0.0)
    assert not home.loader.live


@pytest.mark.parametrize("host", [0, 40])
def test_what_leaves_for_the_host_comes_back_from_there(host):
    home = house(13, host=host)
    home.touch(BERT)
    home.touch("a")
    assert networks(home) == {}
    assert home.on_host() == set()  # networks are no voices there either
    home.touch(BERT)
    assert home.loader.calls["load:bert"] == (1 if host else 2)
    assert home.metrics.networks[-1] == ("loaded", "bert", "host" if host else "disk")
