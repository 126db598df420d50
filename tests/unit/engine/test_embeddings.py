"""The cache of embeddings: one computation for many, errors forgotten, the oldest gone first."""

import threading
from concurrent.futures import Future, ThreadPoolExecutor

import numpy as np
import pytest

from voxswap_server.engine.conditioning import Lookups
from voxswap_server.engine.embeddings import EmbeddingCache


class Metrics:
    def __init__(self):
        self.seen = []

    def looked_up(self, cache, result):
        self.seen.append((cache, result))


class Later:
    """An executor whose work is done when the test says so."""

    def __init__(self):
        self.waiting = []

    def submit(self, work, *arguments):
        self.waiting.append((work, arguments))
        return Future()

    def run(self):
        while self.waiting:
            work, arguments = self.waiting.pop(0)
            work(*arguments)


def vector(number):
    return np.full(2, number, np.float32)


@pytest.fixture
def later():
    return Later()


@pytest.fixture
def metrics():
    return Metrics()


@pytest.fixture
def lookups(metrics):
    return Lookups("embeddings", metrics)


@pytest.fixture
def cache(later, lookups):
    return EmbeddingCache(2, later, lookups)


def test_many_who_ask_at_once_share_one_computation(cache, later, lookups, metrics):
    calls = []
    futures = [cache.get(("a", "w"), lambda: calls.append(1) or vector(1)) for _ in range(5)]
    assert not any(future.done() for future in futures)
    later.run()
    assert len(calls) == 1
    assert all(future.result() is futures[0].result() for future in futures)
    assert cache.get(("a", "w"), pytest.fail).result() is futures[0].result()
    assert metrics.seen == [("embeddings", "miss")] + [("embeddings", "hit")] * 5
    assert (lookups.hits, lookups.misses) == (5, 1)


def test_other_weights_are_another_entry(cache, later):
    first, second = cache.get(("a", "w"), lambda: vector(1)), cache.get(("a", "x"), lambda: vector(2))
    later.run()
    assert (first.result()[0], second.result()[0]) == (1, 2)


def test_an_error_reaches_all_who_wait_and_is_not_kept(cache, later):
    def broken():
        raise ValueError("broken")

    futures = [cache.get(("a", "w"), broken) for _ in range(2)]
    later.run()
    assert [str(future.exception()) for future in futures] == ["broken", "broken"]
    again = cache.get(("a", "w"), lambda: vector(3))
    later.run()
    assert again.result()[0] == 3


def test_the_one_that_was_not_asked_for_longest_goes(cache, later, lookups):
    for name in "ab":
        cache.get((name, "w"), lambda: vector(0))
        later.run()
    cache.get(("a", "w"), pytest.fail)
    cache.get(("c", "w"), lambda: vector(0))
    later.run()
    cache.get(("a", "w"), pytest.fail)
    cache.get(("b", "w"), lambda: vector(0))
    assert len(later.waiting) == 1
    assert (lookups.hits, lookups.misses) == (2, 4)


def test_a_pool_that_is_shut_down_leaves_nobody_waiting(lookups):
    pool = ThreadPoolExecutor(1)
    pool.shutdown()
    cache = EmbeddingCache(2, pool, lookups)
    for _ in range(2):  # the first failure leaves nothing behind that the second would wait for
        with pytest.raises(RuntimeError, match="shutdown"):
            cache.get(("a", "w"), lambda: vector(1)).result(timeout=10)


def test_a_storm_of_threads_computes_each_key_once(lookups):
    computed, lock, start = [], threading.Lock(), threading.Barrier(8)

    def compute(name):
        with lock:
            computed.append(name)
        return vector(name)

    with ThreadPoolExecutor(4) as pool, ThreadPoolExecutor(8) as askers:
        cache = EmbeddingCache(64, pool, lookups)

        def ask():
            start.wait(timeout=30)
            return [cache.get((str(name), "w"), lambda name=name: compute(name)) for name in range(32)]

        answers = [asker.result() for asker in [askers.submit(ask) for _ in range(8)]]
        assert all([future.result()[0] for future in futures] == list(range(32)) for futures in answers)
    assert sorted(computed) == list(range(32))
    assert (lookups.hits, lookups.misses) == (7 * 32, 32)
