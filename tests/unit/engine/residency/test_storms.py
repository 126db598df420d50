"""Residency on real threads and real event loops: storms that must end with every lease back and every byte free."""

import asyncio
import random
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import pytest

from tests.fixtures.fake_loader import FakeLoader, RecordedMetrics
from voxswap_server.domain import CacheState
from voxswap_server.engine.residency import DeviceOutOfMemory, ResidencyConfig, ResidencyManager
from voxswap_server.errors import DeadlineExceeded, Draining, OutOfMemory, VoiceUnusable, VoxswapError

VOICES = {f"v{index}": {"base" if index % 2 else "root": 20, f"own{index}": 5 + index} for index in range(8)}


@contextmanager
def started(loader: FakeLoader, budget: int, **config) -> Iterator[ResidencyManager]:
    manager = ResidencyManager(loader, ResidencyConfig(device_budget_bytes=budget, **config), RecordedMetrics())
    manager.start()
    try:
        yield manager
    finally:
        assert manager.close(grace_s=20.0), f"not all was returned: {manager.residents()}"
        assert not loader.live
        assert not any(level.leased_bytes or level.evictable_bytes for level in manager.levels().values())


def jitter(seed: int) -> Callable[[str, str], None]:
    """Calls of the loader take a random while."""
    chance, never = random.Random(seed), threading.Event()
    return lambda _call, _about: never.wait(chance.random() * 0.002) and None


def in_threads(count: int, body: Callable[[int], None]) -> None:
    """Runs a body in threads at once and raises the first error of any."""
    errors: list[BaseException] = []
    together = threading.Barrier(count)

    def run(index: int) -> None:
        together.wait()
        try:
            body(index)
        except BaseException as error:
            errors.append(error)

    threads = [threading.Thread(target=run, args=(index,)) for index in range(count)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60.0)
        assert not thread.is_alive(), "a thread is stuck"
    if errors:
        raise errors[0]


@pytest.mark.parametrize("host", [0, 60])
def test_a_storm_of_threads(host):
    loader = FakeLoader(dict(VOICES), host_tier=host > 0, before=jitter(1))
    outcomes: list[str] = []
    with started(
        loader, 70, host_budget_bytes=host, wait_for_room_s=20.0, min_resident_s=0.0, idle_ttl_s=0.01, backoff_s=0.001
    ) as manager:

        def body(index: int) -> None:
            chance = random.Random(index)
            outcomes.extend(one_thing(manager, loader, chance) for _ in range(60))

        in_threads(12, body)
    assert outcomes.count("leased") > 200
    assert outcomes.count("refused") > 0
    assert outcomes.count("no room") == 0


def one_thing(manager: ResidencyManager, loader: FakeLoader, chance: random.Random) -> str:
    voice_id = chance.choice(list(VOICES))
    match chance.randrange(20):
        case 0:
            manager._driver.step(lambda: manager._core.unload(voice_id))
        case 1:
            with manager.ahead(voice_id):
                pass
        case 2:
            manager.relieve_blocking(5)
        case 3:
            error = chance.choice([VoiceUnusable(voice_id, "broken"), DeviceOutOfMemory(), ValueError("a bug")])
            loader.fail(f"load-for:{voice_id}", error)
        case 4:
            asyncio.run(reload_and_pin(manager, voice_id))
        case _:
            try:
                with manager.lease_blocking(voice_id, timeout_s=chance.choice([0.001, 30.0])) as lease:
                    assert lease.bundle.speak().startswith(f"{voice_id}@")
            except VoxswapError as error:
                # Nobody may be refused for lack of room here: leases are short, and patience is long.
                return "no room" if isinstance(error, OutOfMemory) and "in use" in str(error) else "refused"
            return "leased"
    return "else"


async def reload_and_pin(manager: ResidencyManager, voice_id: str) -> None:
    try:
        await manager.load_voice(voice_id)
        await manager.pin_voice(voice_id)
    except VoxswapError:
        return
    finally:
        manager._driver.step(lambda: manager._core.unpin(voice_id))


def test_a_storm_of_tasks_on_several_loops_with_cancellation():
    loader = FakeLoader(dict(VOICES), before=jitter(2))
    with started(loader, 70, wait_for_room_s=20.0, min_resident_s=0.001) as manager:
        finished: list[int] = []

        async def request(voice_id: str) -> None:
            async with manager.lease(voice_id) as lease:
                await asyncio.sleep(0)
                lease.bundle.speak()

        async def storm(seed: int) -> int:
            chance = random.Random(seed)
            tasks = [asyncio.create_task(request(chance.choice(list(VOICES)))) for _ in range(150)]
            for task in tasks:
                if chance.random() < 0.4:
                    for _ in range(chance.randrange(4)):
                        await asyncio.sleep(0)
                    task.cancel()
            results = await asyncio.gather(*tasks, return_exceptions=True)
            wrong = [one for one in results if isinstance(one, Exception)]
            assert not wrong, wrong
            return sum(one is None for one in results)

        in_threads(3, lambda index: finished.append(asyncio.run(storm(index))))
    assert sum(finished) >= 3 * 150 * 0.5


def test_voices_that_are_always_in_use_take_turns():
    """Four voices, room for two, every voice asked for without a pause: nobody is refused and nobody starves."""
    voices = {name: {name: 10} for name in "abcd"}
    loader = FakeLoader(voices, before=jitter(3))
    spoken: list[str] = []
    with started(loader, 20, wait_for_room_s=60.0, min_resident_s=0.005) as manager:

        def client(index: int) -> None:
            voice_id = "abcd"[index % 4]
            for _ in range(25):
                with manager.lease_blocking(voice_id, timeout_s=60.0) as lease:
                    spoken.append(lease.bundle.speak())

        in_threads(16, client)
        stats = asyncio.run(manager.cache_stats())
    assert len(spoken) == 16 * 25
    assert stats.hits["voices"] + stats.misses["voices"] == 16 * 25
    assert stats.load_failures == 0
    assert stats.loads - sum(stats.evictions.values()) == stats.residents["device"] <= 2


async def test_cancelling_a_waiter_neither_cancels_the_load_nor_leaks_a_lease():
    gate = threading.Event()
    loader = FakeLoader(dict(VOICES), before=lambda call, _about: call == "load" and gate.wait(30.0) and None)
    with started(loader, 70) as manager:

        async def hold() -> str:
            async with manager.lease("v1") as lease:
                return lease.bundle.speak()

        quitter, patient = asyncio.create_task(hold()), asyncio.create_task(hold())
        await asyncio.sleep(0)
        quitter.cancel()
        with pytest.raises(asyncio.CancelledError):
            await quitter
        gate.set()
        assert (await patient).startswith("v1@")
        assert manager.residents()[0].leases == 0
        assert loader.calls["load:own1"] == 1


async def test_a_slow_load_holds_up_nobody_who_wants_a_resident_voice():
    gate, loading = threading.Event(), threading.Event()

    def before(call: str, about: str) -> None:
        if (call, about) == ("load", "own2"):
            loading.set()
            gate.wait(30.0)

    loader = FakeLoader(dict(VOICES), before=before)
    with started(loader, 200) as manager:
        async with manager.lease("v1"):
            pass
        slow = asyncio.create_task(manager.load_voice("v2"))
        await asyncio.to_thread(loading.wait, 30.0)
        async with manager.lease("v1") as lease:
            assert lease.cache_state is CacheState.DEVICE
        async with manager.lease("v3") as lease:
            assert lease.cache_state is CacheState.DISK
        assert not slow.done()
        gate.set()
        assert (await slow).voice_id == "v2"


async def test_memory_is_freed_while_every_loader_thread_is_busy():
    gate, loading = threading.Event(), threading.Event()

    def before(call: str, about: str) -> None:
        if (call, about) == ("load", "own2"):
            loading.set()
            gate.wait(30.0)

    loader = FakeLoader(dict(VOICES), before=before)
    with started(loader, 200, loader_threads=1) as manager:
        await manager.load_voice("v1")
        slow = asyncio.create_task(manager.load_voice("v2"))
        await asyncio.to_thread(loading.wait, 30.0)
        await asyncio.wait_for(manager.unload_voice("v1", wait=True), 30.0)
        assert not slow.done()
        gate.set()
        await slow


def test_a_thread_waits_no_longer_than_it_said():
    gate = threading.Event()
    loader = FakeLoader(dict(VOICES), before=lambda call, _about: call == "load" and gate.wait(30.0) and None)
    with started(loader, 70) as manager:
        with pytest.raises(DeadlineExceeded), manager.lease_blocking("v1", timeout_s=0.01):
            pass
        gate.set()
        with manager.lease_blocking("v1") as lease:
            lease.bundle.speak()


def test_the_keeper_of_time_evicts_the_idle_and_ends_patience():
    with started(FakeLoader(dict(VOICES)), 30, idle_ttl_s=0.02, wait_for_room_s=0.02, min_resident_s=0.0) as manager:
        with (
            manager.lease_blocking("v1"),
            pytest.raises(OutOfMemory, match="in use, pinned or only just loaded"),
            manager.lease_blocking("v2", timeout_s=30.0),
        ):
            pass
        gone = asyncio.run(first_event(manager, "evicted"))
        assert (gone.voice_id, gone.reason) == ("v1", "ttl")


async def first_event(manager: ResidencyManager, kind: str):
    events = manager.watch_residents()
    if not manager.residents():  # it went before anybody watched: let it come and go again
        await manager.load_voice("v1")
    async for event in events:
        if event.kind == kind:
            return event
    raise AssertionError("the events ended")


async def test_the_operators_surface():
    loader = FakeLoader({"a": {"a": 10}, "b": {"b": 10}})
    with started(loader, 30) as manager:
        events = manager.watch_residents()
        loaded = await manager.load_voice("a")
        assert (loaded.voice_id, loaded.state, loaded.tier, loaded.bytes_own) == ("a", "resident", "device", 10)
        assert (await manager.pin_voice("a")).pinned
        assert not (await manager.unpin_voice("a")).pinned
        assert [one.voice_id for one in await manager.list_residents()] == ["a"]
        assert await manager.reload("b") is None
        loader.voices["a"] = {"a2": 12}
        assert (await manager.reload("a")).generation == 2
        await manager.unload_voice("a", wait=True)
        assert manager.voice_state("a").state == "cold"
        await manager.unload_voice("never-loaded", wait=True)
        with pytest.raises(VoxswapError, match="'a' is not resident; resident voices: none"):
            await manager.unpin_voice("a")
        with pytest.raises(VoxswapError, match="did you mean b"):
            await manager.load_voice("bb")
        seen = [await anext(events) for _ in range(6)]
    assert [(event.kind, event.reason) for event in seen] == [
        ("loaded", ""),
        ("pinned", ""),
        ("unpinned", ""),
        ("loaded", ""),
        ("evicted", "reload"),
        ("evicted", "admin"),
    ]
    assert [event.bytes for event in seen] == [10, 0, 0, 12, 10, 12]


async def test_prewarming_tells_what_failed():
    loader = FakeLoader({"a": {"a": 10}, "b": {"b": 10}, "huge": {"h": 1000}})
    with started(loader, 20) as manager:
        failures = await manager.prewarm(["a", "huge", "ghost", "b"])
        assert {name: error.reason for name, error in failures.items()} == {
            "huge": "VOICE_UNUSABLE",
            "ghost": "VOICE_NOT_FOUND",
        }
        assert {one.voice_id for one in manager.residents()} == {"a", "b"}


async def test_closing_waits_for_leases_and_refuses_newcomers():
    loader = FakeLoader(dict(VOICES))
    with started(loader, 70) as manager:
        async with manager.lease("v1") as lease:
            closing = asyncio.create_task(manager.aclose(grace_s=30.0))
            with pytest.raises(Draining):
                await use_for_ever(manager, "v1")
            lease.bundle.speak()
        assert await closing


async def use_for_ever(manager: ResidencyManager, voice_id: str) -> None:
    while True:
        async with manager.lease(voice_id):
            await asyncio.sleep(0)


async def test_other_caches_are_told_with_ours():
    class Prompts:
        hits, misses = 3, 4

    config = ResidencyConfig(device_budget_bytes=70)
    manager = ResidencyManager(FakeLoader(), config, RecordedMetrics(), other_caches={"prompts": Prompts()})
    stats = await manager.cache_stats()
    assert stats.hits == {"voices": 0, "networks": 0, "prompts": 3}
    assert stats.misses == {"voices": 0, "networks": 0, "prompts": 4}
    assert stats.bytes_budget == {"device": 70, "host": 0}


def test_a_metric_that_fails_costs_nobody_an_answer():
    class Broken(RecordedMetrics):
        def voice_loaded(self, *_args, **_named) -> None:
            raise RuntimeError("the metrics are down")

    manager = ResidencyManager(FakeLoader(dict(VOICES)), ResidencyConfig(device_budget_bytes=70), Broken())
    manager.start()
    with manager.lease_blocking("v1", timeout_s=30.0) as lease:
        lease.bundle.speak()
    assert manager.close()
