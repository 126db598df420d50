"""A layer over a store: nothing that the store does is a failure, and a store that is away costs nothing."""

import threading
from collections.abc import Iterator

import pytest
from structlog.testing import capture_logs

from tests.fixtures.cache_layers import Clock, Counted, FakeStore, key, same, value
from voxswap_server.engine.conditioning.entry import encode
from voxswap_server.engine.conditioning.lookups import Lookups
from voxswap_server.engine.conditioning.stored import StoredLayer

RETRY_S = 5.0


class House:
    """A layer, its store, its counters and its time."""

    def __init__(self, *, timeout_s: float = 30.0) -> None:
        self.store, self.counted, self.clock = FakeStore(), Counted(), Clock()
        self.lookups = Lookups("prompts_fake", self.counted)
        self.layer = StoredLayer(self.store, self.lookups, timeout_s=timeout_s, retry_s=RETRY_S, clock=self.clock)

    def results(self) -> dict[str, int]:
        return {result: count for (_, result), count in self.counted.seen.items()}

    def probed(self) -> None:
        """Waits until what a look-up began in the background is over."""
        self.layer._probers.submit(lambda: None).result(timeout=30)


@pytest.fixture
def house() -> Iterator[House]:
    house = House()
    yield house
    house.layer.close()


def test_what_is_put_is_got(house: House) -> None:
    assert house.layer.get(key()) is None
    house.layer.put(key(), value(3))
    assert same(house.layer.get(key()), value(3))
    assert house.results() == {"miss": 1, "hit": 1}


@pytest.mark.parametrize(
    "foreign",
    [b"", b"-", encode(key(1), value())[:-1], encode(key(2), value()), b"\x00" * 500],
    ids=["empty", "short", "cut", "of another key", "zeros"],
)
def test_an_entry_that_may_not_be_used_is_counted_logged_and_removed(house: House, foreign: bytes) -> None:
    house.store.entries[key(1)] = foreign
    with capture_logs() as lines:
        assert house.layer.get(key(1)) is None
    assert house.results() == {"corrupt": 1}
    assert house.store.entries == {}
    assert [(line["event"], line["layer"], line["entry"]) for line in lines] == [
        ("cache entry not used", "fake", key(1).name)
    ]
    assert (house.lookups.hits, house.lookups.misses) == (0, 1)


def test_a_store_that_is_down_is_left_alone_and_told_of_once(house: House) -> None:
    house.store.failing["get"] = ConnectionError("refused")
    with capture_logs() as lines:
        for number in range(20):
            assert house.layer.get(key(number)) is None
            house.layer.put(key(number), value())
    assert house.store.calls == {"get": 1}  # nothing was written either
    assert house.results() == {"unavailable": 20}
    assert lines == [
        {
            "event": "cache layer left alone",
            "log_level": "warning",
            "layer": "fake",
            "doing": "read",
            "problem": "ConnectionError",
            "retry_s": RETRY_S,
        }
    ]


def test_it_is_probed_behind_the_requests_backs_until_it_is_back(house: House) -> None:
    house.store.failing["get"] = ConnectionError("refused")
    house.layer.get(key())
    with capture_logs() as lines:
        for tries in range(1, 4):
            house.clock.now_s += RETRY_S
            assert house.layer.get(key()) is None  # begins the probe, and does not wait for it
            house.probed()
            assert house.store.calls == {"get": 1, "probe": tries}
        del house.store.failing["get"]
        house.store.put(key(), encode(key(), value()))
        assert house.layer.get(key()) is None  # not yet time
        house.probed()
        assert house.store.calls["probe"] == 3
        house.clock.now_s += RETRY_S
        assert house.layer.get(key()) is None
        house.probed()
        assert same(house.layer.get(key()), value())
    assert [line["event"] for line in lines] == ["cache layer is back"]
    assert lines[0]["away_s"] == 4 * RETRY_S


def test_a_store_that_cannot_be_written_is_read_still(house: House) -> None:
    house.store.put(key(0), encode(key(0), value()))
    house.store.failing["put"] = OSError("full")
    with capture_logs() as lines:
        for number in range(1, 5):
            house.layer.put(key(number), value())
            assert house.layer.get(key(0)) is not None
    assert house.store.calls["put"] == 2  # the test's own, and one that failed
    assert [(line["event"], line["doing"]) for line in lines] == [("cache layer left alone", "write")]
    del house.store.failing["put"]
    house.clock.now_s += RETRY_S
    house.layer.put(key(1), value())
    house.probed()
    house.layer.put(key(1), value())
    assert house.layer.get(key(1)) is not None


def test_a_store_that_hangs_holds_up_nobody_for_long() -> None:
    house = House(timeout_s=0.01)
    house.store.hangs = threading.Event()
    try:
        with capture_logs() as lines:
            for number in range(20):
                assert house.layer.get(key(number)) is None
        assert house.store.calls["get"] == 1
        assert [line["problem"] for line in lines] == ["TimeoutError"]
    finally:
        house.store.hangs.set()
        house.layer.close()


def test_many_readers_of_a_store_that_hangs_give_up_and_those_that_never_began_never_begin() -> None:
    house = House(timeout_s=0.05)
    house.store.hangs = threading.Event()
    try:
        readers = [threading.Thread(target=house.layer.get, args=(key(number),)) for number in range(12)]
        for reader in readers:
            reader.start()
        for reader in readers:
            reader.join(timeout=30)
        assert not any(reader.is_alive() for reader in readers)
        assert house.results() == {"unavailable": 12}
    finally:
        house.store.hangs.set()
        house.layer.close()
    house.layer._readers.shutdown(wait=True)
    assert house.store.calls["get"] <= 4  # its threads


def test_after_its_end_nothing_is_asked_and_nothing_raised(house: House) -> None:
    house.layer.close()
    assert house.store.closed
    assert house.layer.get(key()) is None
    house.clock.now_s += RETRY_S
    assert house.layer.get(key()) is None
    house.layer.put(key(), value())
