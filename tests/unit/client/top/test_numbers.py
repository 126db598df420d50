"""Rates and quantiles between two readings of the metrics."""

import math
from bisect import bisect_left

import pytest
from hypothesis import given
from hypothesis import strategies as st
from prometheus_client import CollectorRegistry
from prometheus_client.exposition import generate_latest

from voxswap_client.top.numbers import numbers_between, quantile
from voxswap_client.top.scrape import Sample, parse
from voxswap_server.metrics import AUDIBLE_S, Metrics

TTFA = "voxswap_time_to_first_audio_seconds"


class Server:
    """Metrics as a server keeps them, read as a scraper reads them."""

    def __init__(self):
        self.registry = CollectorRegistry()
        self.metrics = Metrics(self.registry)

    def read(self, at_s):
        return parse(generate_latest(self.registry).decode(), at_s)


@pytest.fixture
def server():
    return Server()


def test_rates_are_of_the_time_between_and_levels_of_now(server):
    server.metrics.request("Speak", "OK")
    before = server.read(10.0)
    for code, count in {"OK": 6, "INTERNAL": 2, "DATA_LOSS": 1, "RESOURCE_EXHAUSTED": 3}.items():
        for _ in range(count):
            server.metrics.request("Speak", code)
    server.metrics.audio(9.0)
    server.metrics.running(2)
    server.metrics.waiting(5)
    server.metrics.live_streams(4)
    server.metrics.voice_loaded("a", "disk", 0.1, swapped=True)
    numbers = numbers_between(before, server.read(13.0))
    assert (numbers.running, numbers.waiting, numbers.live_streams, numbers.swaps) == (2, 5, 4, 1)
    assert numbers.requests_per_s == pytest.approx(4)
    assert (numbers.faults_per_s, numbers.refused_per_s) == pytest.approx((1, 1))
    assert (numbers.audio_per_s, numbers.swaps_per_s) == pytest.approx((3, 1 / 3))


def test_quantiles_are_of_what_happened_in_between_over_all_labels(server):
    for _ in range(100):
        server.metrics.first_audio(15.0, warm=True)  # before the first reading: of no interest
    before = server.read(0.0)
    assert math.isnan(quantile(before, before, TTFA, 0.5))
    for _ in range(10):
        server.metrics.first_audio(0.25, warm=True)
        server.metrics.first_audio(0.9, warm=False)
    now = server.read(1.0)
    # Half of all lie at or below 0.3 s, the next half between 0.8 and 1.2 s.
    assert quantile(before, now, TTFA, 0.5) == pytest.approx(0.3)
    assert quantile(before, now, TTFA, 0.25) == pytest.approx(0.25)
    assert quantile(before, now, TTFA, 0.75) == pytest.approx(1.0)
    assert quantile(Sample(0.0), now, TTFA, 1.0) == pytest.approx(16.0)


def test_beyond_the_last_bound_the_last_bound_is_told(server):
    before = server.read(0.0)
    server.metrics.first_audio(1000.0, warm=True)
    assert quantile(before, server.read(1.0), TTFA, 0.5) == AUDIBLE_S[-1]


@given(st.lists(st.floats(0.001, AUDIBLE_S[-1]), min_size=1, max_size=40), st.floats(0.01, 1.0))
def test_a_quantile_lies_in_the_bucket_of_the_true_one(seconds, level):
    server = Server()
    before = server.read(0.0)
    for one in seconds:
        server.metrics.first_audio(one, warm=True)
    told = quantile(before, server.read(1.0), TTFA, level)
    true = sorted(seconds)[max(0, math.ceil(level * len(seconds) - 1e-9) - 1)]
    place = bisect_left(AUDIBLE_S, true)
    low = AUDIBLE_S[place - 1] if place else 0.0
    assert low - 1e-9 <= told <= AUDIBLE_S[place] + 1e-9


def test_a_server_that_was_restarted_counts_from_nothing(server):
    for _ in range(50):
        server.metrics.request("Speak", "OK")
    before = server.read(0.0)
    restarted = Server()
    restarted.metrics.request("Speak", "OK")
    assert numbers_between(before, restarted.read(1.0)).requests_per_s == pytest.approx(1)


def test_a_server_without_a_metric_has_none_of_it():
    numbers = numbers_between(Sample(0.0), Sample(1.0))
    assert (numbers.running, numbers.requests_per_s) == (0, 0)
    assert math.isnan(numbers.real_time_factor_p95)
