"""Rates and quantiles between two moments. Knows nothing of how they are drawn."""

import math
from dataclasses import dataclass

from voxswap_client.top.scrape import Sample

FAULTS = ("INTERNAL", "UNKNOWN", "DATA_LOSS")


@dataclass(frozen=True, slots=True)
class Numbers:
    """What a server did between two moments, and how it stood at the later one. Seconds, but for counts and shares."""

    running: int
    waiting: int
    live_streams: int
    requests_per_s: float
    faults_per_s: float
    refused_per_s: float
    audio_per_s: float
    """Seconds of speech made in a second."""
    first_audio_p50_s: float
    """NaN where nobody began to hear anything."""
    first_audio_p95_s: float
    real_time_factor_p95: float
    swaps_per_s: float
    swaps: int
    """Since the server started."""


def numbers_between(before: Sample, now: Sample) -> Numbers:
    """What happened from `before` to `now`; a server that was restarted in between counts from 0."""
    seconds = max(now.at_s - before.at_s, 1e-9)

    def grown(name: str, **labels: str) -> float:
        was, is_now = before.total(name, **labels), now.total(name, **labels)
        return is_now - was if is_now >= was else is_now

    def per_s(name: str, **labels: str) -> float:
        return grown(name, **labels) / seconds

    return Numbers(
        running=round(now.total("voxswap_requests_running")),
        waiting=round(now.total("voxswap_requests_waiting")),
        live_streams=round(now.total("voxswap_live_streams_running")),
        requests_per_s=per_s("voxswap_requests_total"),
        faults_per_s=sum(per_s("voxswap_requests_total", code=code) for code in FAULTS),
        refused_per_s=per_s("voxswap_requests_total", code="RESOURCE_EXHAUSTED"),
        audio_per_s=per_s("voxswap_audio_seconds_total"),
        first_audio_p50_s=quantile(before, now, "voxswap_time_to_first_audio_seconds", 0.5),
        first_audio_p95_s=quantile(before, now, "voxswap_time_to_first_audio_seconds", 0.95),
        real_time_factor_p95=quantile(before, now, "voxswap_real_time_factor", 0.95),
        swaps_per_s=per_s("voxswap_voice_swaps_total"),
        swaps=round(now.total("voxswap_voice_swaps_total")),
    )


def quantile(before: Sample, now: Sample, histogram: str, level: float) -> float:
    """As Prometheus estimates it: linear within the bucket that has it; NaN without observations.

    Above the last bound there is nothing to interpolate to, so that bound is the answer.
    """
    name = f"{histogram}_bucket"
    bounds = sorted({float(labels["le"]) for labels, _ in now.series(name)})
    counts = [_below(now, name, bound) - _below(before, name, bound) for bound in bounds]
    if not counts or counts[-1] <= 0:
        return math.nan
    wanted = level * counts[-1]
    place = next(index for index, count in enumerate(counts) if count >= wanted)
    if math.isinf(bounds[place]):
        return bounds[place - 1] if place else math.nan
    low, under = (bounds[place - 1], counts[place - 1]) if place else (0.0, 0.0)
    inside = counts[place] - under
    return low + (bounds[place] - low) * (wanted - under) / inside if inside else bounds[place]


def _below(sample: Sample, name: str, bound: float) -> float:
    return sum(value for labels, value in sample.series(name) if float(labels["le"]) == bound)
