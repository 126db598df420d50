"""Events reach every watcher in order; a slow one loses the oldest and is told."""

import asyncio
import gc
import threading

from voxswap_server.domain import ResidentEvent
from voxswap_server.engine.residency.events import EventBus


def event(number: int) -> ResidentEvent:
    return ResidentEvent("loaded", f"v{number}", "device", "", number, 0.0, float(number))


def publish(bus: EventBus, *numbers: int) -> None:
    bus.publish([event(number) for number in numbers])()


async def test_every_watcher_gets_every_event_in_order():
    bus = EventBus(backlog=10)
    first, second = bus.watch(), bus.watch()
    publish(bus, 1, 2)
    publish(bus, 3)
    assert [(await anext(first)).bytes for _ in range(3)] == [1, 2, 3]
    assert [(await anext(second)).bytes for _ in range(3)] == [1, 2, 3]


async def test_a_slow_watcher_loses_the_oldest_and_is_told_how_many():
    bus = EventBus(backlog=3)
    slow = bus.watch()
    for number in range(1, 6):
        publish(bus, number)
    missed, *rest = [await anext(slow) for _ in range(4)]
    assert (missed.kind, missed.reason) == ("missed", "2 events")
    assert [one.bytes for one in rest] == [3, 4, 5]
    publish(bus, 6)
    assert (await anext(slow)).bytes == 6


async def test_more_events_at_once_than_the_backlog():
    bus = EventBus(backlog=2)
    slow = bus.watch()
    publish(bus, 1, 2, 3, 4, 5)
    assert [(await anext(slow)).reason, (await anext(slow)).bytes, (await anext(slow)).bytes] == ["3 events", 4, 5]


async def test_events_from_other_threads_wake_a_waiting_watcher():
    bus = EventBus(backlog=100)
    watcher = bus.watch()
    waiting = asyncio.create_task(anext(watcher))
    await asyncio.sleep(0)
    thread = threading.Thread(target=publish, args=(bus, 7))
    thread.start()
    assert (await waiting).bytes == 7
    thread.join()


async def test_a_watcher_that_is_dropped_or_closed_is_forgotten():
    bus = EventBus(backlog=10)
    unread, read = bus.watch(), bus.watch()
    publish(bus, 1)
    await anext(read)
    await read.aclose()
    await unread.aclose()
    del unread, read
    gc.collect()
    assert len(bus._watchers) == 0


def test_a_watcher_whose_loop_has_closed_disturbs_nobody():
    bus = EventBus(backlog=10)

    async def watch():
        return bus.watch()

    kept = asyncio.run(watch())
    publish(bus, 1)
    assert kept is not None
