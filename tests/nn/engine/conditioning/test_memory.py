"""The layer in memory: bounded by bytes and by age."""

import pytest
import torch

from tests.fixtures.cache_layers import Clock, Counted, key, same, value
from voxswap_server.engine.conditioning.lookups import Lookups
from voxswap_server.engine.conditioning.memory import _OVERHEAD_BYTES, Memory

EACH_BYTES = 4 * 8 + _OVERHEAD_BYTES


@pytest.fixture
def clock() -> Clock:
    return Clock()


def memory(clock: Clock, *, entries: int = 3, ttl_s: float = 0.0) -> Memory:
    return Memory(entries * EACH_BYTES, ttl_s, Lookups("memory", Counted()), clock)


def test_what_is_kept_is_found_and_counted(clock: Clock) -> None:
    counted = Counted()
    kept = Memory(EACH_BYTES, 0.0, lookups := Lookups("prompts_memory", counted), clock)
    assert kept.get(key()) is None
    kept.put(key(), value(5))
    assert same(kept.get(key()), value(5))
    assert counted.seen == {("prompts_memory", "miss"): 1, ("prompts_memory", "hit"): 1}
    assert (lookups.hits, lookups.misses) == (1, 1)


def test_the_least_recently_used_goes_first(clock: Clock) -> None:
    kept = memory(clock)
    for number in range(3):
        kept.put(key(number), value(number))
    assert kept.get(key(0)) is not None
    kept.put(key(3), value(3))
    assert [kept.get(key(number)) is not None for number in range(4)] == [True, False, True, True]
    assert kept.used_bytes == 3 * EACH_BYTES


def test_it_never_holds_more_than_its_bytes(clock: Clock) -> None:
    kept = memory(clock)
    for number in range(50):
        kept.put(key(number), value(number, size=1 + number % 7))
        assert kept.used_bytes <= 3 * EACH_BYTES


def test_what_is_larger_than_all_of_it_is_not_kept(clock: Clock) -> None:
    kept = memory(clock, entries=1)
    kept.put(key(0), value(0))
    kept.put(key(1), value(1, size=5))
    assert kept.get(key(1)) is None
    assert kept.get(key(0)) is not None


def test_nothing_is_kept_where_there_is_no_room_at_all(clock: Clock) -> None:
    kept = memory(clock, entries=0)
    kept.put(key(), value())
    assert kept.get(key()) is None


def test_an_entry_grows_too_old(clock: Clock) -> None:
    kept = memory(clock, ttl_s=60.0)
    kept.put(key(), value())
    clock.now_s += 59.9
    assert kept.get(key()) is not None
    clock.now_s += 0.2
    assert kept.get(key()) is None
    assert kept.used_bytes == 0


def test_without_an_age_limit_it_stays(clock: Clock) -> None:
    kept = memory(clock, ttl_s=0.0)
    kept.put(key(), value())
    clock.now_s += 1e9
    assert kept.get(key()) is not None


def test_tensors_of_one_block_are_weighed_once(clock: Clock) -> None:
    block = torch.zeros(100)
    kept = Memory(10_000, 0.0, Lookups("memory", Counted()), clock)
    kept.put(key(), {"mel": block[:50], "features": block[50:]})
    assert kept.used_bytes == 400 + _OVERHEAD_BYTES
