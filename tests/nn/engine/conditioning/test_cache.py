"""The cache as a whole: each value once, whoever fails or leaves, and nothing that the device thread would wait for."""

import threading
from collections.abc import Iterator
from functools import partial
from typing import Any

import pytest
from structlog.testing import capture_logs

from tests.fixtures.cache_layers import Counted, FakeLayer, key, same, value
from tests.fixtures.routines import run
from voxswap_server.engine.conditioning import ConditioningCache, Key, Lookups, ValueRoutine
from voxswap_server.engine.conditioning.memory import Memory
from voxswap_server.engine.job import Await, DeviceCall


class House:
    """A cache over two layers that are dictionaries, and how often each value was computed."""

    def __init__(self, *, memory_bytes: int = 1 << 20) -> None:
        self.near, self.far = FakeLayer("near"), FakeLayer("far")
        self.cache = self.another(memory_bytes)
        self.computed: list[Key] = []

    def another(self, memory_bytes: int = 1 << 20) -> ConditioningCache:
        memory = Memory(memory_bytes, 0.0, Lookups("prompts_memory", Counted()))
        return ConditioningCache(memory, (self.near, self.far), ())

    def compute(self, key: Key, number: int = 0) -> ValueRoutine:
        self.computed.append(key)
        answer = yield DeviceCall("prompt", lambda calls: [value(number) for _ in calls])
        return answer

    def asked(self, number: int, cache: ConditioningCache | None = None) -> ValueRoutine:
        one = key(number)
        return (cache or self.cache).value(one, partial(self.compute, one, number))

    def written(self) -> None:
        """Waits for what is written behind the answers' backs."""
        self.cache._writer.submit(lambda: None).result(timeout=30)


@pytest.fixture
def house() -> Iterator[House]:
    house = House()
    yield house
    house.cache.close(grace_s=30)


def step(routine: ValueRoutine, answer: Any = None) -> Any:
    return routine.send(answer)


def until_device_call(routine: ValueRoutine) -> DeviceCall:
    """Goes on to the computation, waiting for whatever comes before it."""
    work = routine.send(None)
    while isinstance(work, Await):
        work = routine.send(work.future.result(timeout=30))
    assert isinstance(work, DeviceCall)
    return work


def test_a_value_is_computed_once_and_kept_everywhere(house: House) -> None:
    first, again = run(house.asked(1)), run(house.asked(1))
    assert same(first, value(1))
    assert again is first
    house.written()
    assert list(house.near.values) == list(house.far.values) == house.computed == [key(1)]
    assert house.near.asked == house.far.asked == [key(1)]  # only while it was not in memory


def test_what_lies_far_is_copied_nearer(house: House) -> None:
    house.far.values[key(1)] = value(1)
    assert same(run(house.asked(1)), value(1))
    house.written()
    assert house.computed == []
    assert list(house.near.values) == [key(1)]
    house.far.asked.clear()
    other = house.another()
    run(house.asked(1, other))
    other.close(grace_s=30)
    assert house.far.asked == []


def test_who_asks_for_what_is_under_way_waits_for_it_and_gets_the_same(house: House) -> None:
    one, two = house.asked(1), house.asked(1)
    call = until_device_call(one)
    waits = step(two)
    assert isinstance(waits, Await)
    assert not waits.future.done()
    made = value(1)
    with pytest.raises(StopIteration) as first:
        one.send(made)
    with pytest.raises(StopIteration) as second:
        two.send(waits.future.result(timeout=0))
    assert first.value.value is second.value.value is made
    assert house.computed == [key(1)]
    assert call.stage == "prompt"


def test_they_share_it_even_where_memory_keeps_nothing() -> None:
    house = House(memory_bytes=0)
    one, two = house.asked(1), house.asked(1)
    until_device_call(one)
    waits = step(two)
    with pytest.raises(StopIteration):
        one.send(value(1))
    with pytest.raises(StopIteration) as second:
        two.send(waits.future.result(timeout=0))
    assert same(second.value.value, value(1))
    house.cache.close(grace_s=30)


@pytest.mark.parametrize("how", ["fails", "is cancelled"])
def test_who_waits_for_somebody_that_does_not_finish_does_it_then(house: House, how: str) -> None:
    one, two = house.asked(1), house.asked(1)
    until_device_call(one)
    waits = step(two)
    if how == "fails":
        with pytest.raises(ValueError, match="broken"):
            one.throw(ValueError("broken"))
    else:
        one.close()
    work = two.send(waits.future.result(timeout=0))
    while isinstance(work, Await):
        work = two.send(work.future.result(timeout=30))
    with pytest.raises(StopIteration) as end:
        two.send(value(1))
    assert same(end.value.value, value(1))
    assert house.computed == [key(1)] * 2


def test_a_failure_is_not_kept(house: House) -> None:
    def broken() -> ValueRoutine:
        raise ValueError("broken")
        yield

    with pytest.raises(ValueError, match="broken"):
        run(house.cache.value(key(1), broken))
    assert same(run(house.asked(1)), value(1))
    house.written()
    assert list(house.near.values) == [key(1)]


def test_values_may_stand_on_others(house: House) -> None:
    def conditioning() -> ValueRoutine:
        below = yield from house.asked(1)
        return {"speaker": below["tokens"] + 1}

    made = run(house.cache.value(key(2, "conditioning"), conditioning))
    assert made["speaker"].tolist() == [2] * 4
    assert house.computed == [key(1)]


def test_the_answer_does_not_wait_for_what_is_written(house: House) -> None:
    house.near.put_gate = threading.Event()
    assert same(run(house.asked(1)), value(1))
    assert not house.near.values
    house.near.put_gate.set()
    house.written()
    assert list(house.near.values) == [key(1)]


def test_writes_that_pile_up_are_dropped_and_the_answers_are_not(house: House) -> None:
    house.near.put_gate = threading.Event()
    for number in range(100):
        assert same(run(house.asked(number)), value(number))
    house.near.put_gate.set()
    house.written()
    assert 0 < len(house.near.values) < 100
    assert len(house.computed) == 100


def test_closing_finishes_what_is_to_be_written(house: House) -> None:
    for number in range(10):
        run(house.asked(number))
    house.cache.close(grace_s=30)
    assert len(house.near.values) == len(house.far.values) == 10
    assert house.near.closed
    assert house.far.closed


def test_closing_does_not_wait_for_ever() -> None:
    house = House()
    house.near.put_gate = threading.Event()
    run(house.asked(1))
    run(house.asked(2))
    with capture_logs() as lines:
        house.cache.close(grace_s=0.01)
    assert [(line["event"], line["entries"]) for line in lines] == [("cache writes given up at shutdown", 2)]
    house.near.put_gate.set()


def test_a_bug_in_writing_is_logged_and_costs_nobody_an_answer(house: House) -> None:
    def bug(*_: object) -> None:
        raise TypeError("no such thing")

    house.near.put = bug  # type: ignore[method-assign]
    with capture_logs() as lines:
        assert same(run(house.asked(1)), value(1))
        house.written()
    assert [(line["event"], type(line["exc_info"])) for line in lines] == [("cache write failed", TypeError)]


def test_a_cache_without_layers_outside_asks_nobody() -> None:
    cache = ConditioningCache(Memory(1 << 20, 0.0, Lookups("prompts_memory", Counted())), (), ())

    def compute() -> ValueRoutine:
        answer = yield DeviceCall("prompt", lambda _: [value()])
        return answer

    routine = cache.value(key(), compute)
    assert isinstance(routine.send(None), DeviceCall)  # at once
    with pytest.raises(StopIteration):
        routine.send(value())
    cache.close(grace_s=30)
