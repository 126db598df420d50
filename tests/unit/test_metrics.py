"""The metrics: every name of the surface is there, labels stay bounded, exemplars reach a scraper that asks for them."""

import urllib.request

import pytest
from prometheus_client import CollectorRegistry, Histogram
from prometheus_client.openmetrics.parser import text_string_to_metric_families

from voxswap_server.exposition import MetricsServer
from voxswap_server.metrics import Metrics

TRACE = "0af7651916cd43dd8448eb211c80319c"

PROMISED = {
    "voxswap_requests_total": {"method", "code"},
    "voxswap_requests_running": set(),
    "voxswap_requests_waiting": set(),
    "voxswap_queue_seconds": set(),
    "voxswap_time_to_first_audio_seconds": {"model_state"},
    "voxswap_stage_seconds": {"stage"},
    "voxswap_real_time_factor": set(),
    "voxswap_underrun_seconds": set(),
    "voxswap_audio_seconds_total": set(),
    "voxswap_semantic_tokens_total": set(),
    "voxswap_batch_size": set(),
    "voxswap_voice_load_seconds": {"source"},
    "voxswap_voice_loads_total": {"source"},
    "voxswap_voice_load_failures_total": {"reason"},
    "voxswap_voice_swaps_total": set(),
    "voxswap_voice_evictions_total": {"reason"},
    "voxswap_voices_resident": {"tier"},
    "voxswap_voice_bytes": {"tier", "state"},
    "voxswap_cache_lookups_total": {"cache", "result"},
    "voxswap_cancel_to_release_seconds": set(),
    "voxswap_age_at_eviction_seconds": set(),
    "voxswap_device_memory_bytes": {"kind"},
    "voxswap_degenerate_utterances_total": {"fault", "outcome"},
    "voxswap_notices_total": {"code"},
    "voxswap_live_streams_running": set(),
    "voxswap_live_switches_total": {"outcome"},
    "voxswap_live_underruns_total": set(),
    "voxswap_network_load_seconds": {"network", "source"},
    "voxswap_network_load_failures_total": {"network", "reason"},
    "voxswap_network_evictions_total": {"network", "reason"},
    "voxswap_build_info": {"version"},
}


def record_everything(metrics):
    metrics.build(version="1.2.3")
    metrics.request("voxswap.v1.SpeechService/Synthesize", "OK")
    metrics.running(2)
    metrics.waiting(3)
    metrics.queued(0.02, TRACE)
    metrics.first_audio(0.3, warm=True, trace_id=TRACE)
    metrics.first_audio(3.0, warm=False)
    metrics.audio(1.5)
    metrics.synthesized(rtf=0.25, underrun_s=0.0, semantic_tokens=75, trace_id=TRACE)
    metrics.released(0.01, TRACE)
    metrics.stage("t2s", 0.004)
    metrics.batch(4)
    metrics.voice_loaded("narrator", "disk", 0.2, swapped=False)
    metrics.voice_loaded("narrator", "host", 0.1, swapped=True)
    metrics.voice_load_failed("narrator", "VOICE_UNUSABLE")
    metrics.voice_evicted("narrator", "lru", 30.0)
    metrics.tier_levels("device", residents=lambda: 2, leased_bytes=lambda: 10, evictable_bytes=lambda: 20)
    metrics.degenerate("silence", retried=True)
    metrics.noticed("CHARACTERS_NOT_READ")
    metrics.live_streams(2)
    metrics.voice_switched("done")
    metrics.underruns(1)
    metrics.network_loaded("hubert", "disk", 0.5)
    metrics.network_load_failed("bert", "ASSET_MISSING")
    metrics.network_evicted("hubert", "lru")
    metrics.lookup("voices", hit=True)
    metrics.lookup("voices", hit=False)
    metrics.device_memory("allocated", lambda: 1024)


@pytest.fixture
def registry():
    return CollectorRegistry()


def test_every_promised_metric_is_exposed_with_its_labels(registry):
    record_everything(Metrics(registry))
    found = {}
    for family in registry.collect():
        for sample in family.samples:
            name = sample.name.removesuffix("_bucket").removesuffix("_count").removesuffix("_sum")
            if not name.endswith("_created"):
                found.setdefault(name, set()).update(set(sample.labels) - {"le"})
    assert found == PROMISED


def test_values_are_recorded_in_base_units(registry):
    record_everything(Metrics(registry))
    value = registry.get_sample_value
    assert value("voxswap_requests_total", {"method": "voxswap.v1.SpeechService/Synthesize", "code": "OK"}) == 1
    assert value("voxswap_time_to_first_audio_seconds_sum", {"model_state": "warm"}) == 0.3
    assert value("voxswap_time_to_first_audio_seconds_sum", {"model_state": "cold"}) == 3.0
    assert value("voxswap_audio_seconds_total") == 1.5
    assert value("voxswap_semantic_tokens_total") == 75
    assert value("voxswap_voice_bytes", {"tier": "device", "state": "evictable"}) == 20
    assert value("voxswap_cache_lookups_total", {"cache": "voices", "result": "miss"}) == 1
    assert value("voxswap_voice_swaps_total") == 1
    assert value("voxswap_voices_resident", {"tier": "device"}) == 2
    assert value("voxswap_device_memory_bytes", {"kind": "allocated"}) == 1024
    assert value("voxswap_build_info", {"version": "1.2.3"}) == 1


def test_no_histogram_has_more_than_twelve_buckets(registry):
    metrics = Metrics(registry)
    histograms = [value for value in vars(metrics).values() if isinstance(value, Histogram)]
    assert histograms
    assert all(len(histogram._upper_bounds) <= 12 for histogram in histograms)


def test_voices_are_labels_only_if_switched_on_and_only_on_counters(registry):
    record_everything(Metrics(registry, voice_labels=True))
    labelled = {sample.name for family in registry.collect() for sample in family.samples if "voice" in sample.labels}
    assert {name for name in labelled if not name.endswith("_created")} == {
        "voxswap_voice_loads_total",
        "voxswap_voice_load_failures_total",
        "voxswap_voice_evictions_total",
    }


def fetch(url, accept):
    with urllib.request.urlopen(urllib.request.Request(url, headers={"Accept": accept}), timeout=10) as answer:
        return answer.headers["Content-Type"], answer.read().decode()


def test_http_exposition_has_exemplars_for_openmetrics_only(registry):
    record_everything(Metrics(registry))
    with MetricsServer(registry, "127.0.0.1", 0) as server:
        kind, text = fetch(server.url, "application/openmetrics-text; version=1.0.0")
        plain_kind, plain_text = fetch(server.url, "text/plain")
    assert kind.startswith("application/openmetrics-text")
    traced = {
        sample.name
        for family in text_string_to_metric_families(text)
        for sample in family.samples
        if sample.exemplar and sample.exemplar.labels == {"trace_id": TRACE}
    }
    assert traced == {
        "voxswap_time_to_first_audio_seconds_bucket",
        "voxswap_queue_seconds_bucket",
        "voxswap_real_time_factor_bucket",
        "voxswap_underrun_seconds_bucket",
        "voxswap_cancel_to_release_seconds_bucket",
    }
    assert plain_kind.startswith("text/plain")
    assert TRACE not in plain_text


def test_the_server_frees_its_port(registry):
    with MetricsServer(registry, "127.0.0.1", 0) as server:
        port = int(server.url.split(":")[2].split("/")[0])
    with MetricsServer(registry, "127.0.0.1", port) as server:
        assert f":{port}/" in server.url


def test_two_servers_do_not_share_numbers():
    first, second = CollectorRegistry(), CollectorRegistry()
    Metrics(first).lookup("voices", hit=True)
    Metrics(second)
    labels = {"cache": "voices", "result": "hit"}
    assert first.get_sample_value("voxswap_cache_lookups_total", labels) == 1.0
    assert second.get_sample_value("voxswap_cache_lookups_total", labels) is None
