"""ModelAdminService: domain values to messages."""

from collections.abc import Mapping

from google.protobuf.timestamp_pb2 import Timestamp

from voxswap.v1 import model_admin_service_pb2, synthesis_pb2
from voxswap_server.domain import CacheStats, Resident, ResidentEvent

TIER_VALUES: Mapping[str, synthesis_pb2.CacheState.ValueType] = {
    "": synthesis_pb2.CACHE_STATE_UNSPECIFIED,
    "device": synthesis_pb2.CACHE_STATE_DEVICE,
    "host": synthesis_pb2.CACHE_STATE_HOST,
    "disk": synthesis_pb2.CACHE_STATE_DISK,
}

STATE_VALUES: Mapping[str, model_admin_service_pb2.ResidentState.ValueType] = {
    "loading": model_admin_service_pb2.RESIDENT_STATE_LOADING,
    "resident": model_admin_service_pb2.RESIDENT_STATE_RESIDENT,
    "draining": model_admin_service_pb2.RESIDENT_STATE_DRAINING,
}

EVENT_VALUES: Mapping[str, model_admin_service_pb2.ResidentEventKind.ValueType] = {
    "loaded": model_admin_service_pb2.RESIDENT_EVENT_KIND_LOADED,
    "evicted": model_admin_service_pb2.RESIDENT_EVENT_KIND_EVICTED,
    "load_failed": model_admin_service_pb2.RESIDENT_EVENT_KIND_LOAD_FAILED,
    "pinned": model_admin_service_pb2.RESIDENT_EVENT_KIND_PINNED,
    "unpinned": model_admin_service_pb2.RESIDENT_EVENT_KIND_UNPINNED,
    "draining": model_admin_service_pb2.RESIDENT_EVENT_KIND_DRAINING,
    "missed": model_admin_service_pb2.RESIDENT_EVENT_KIND_MISSED,
}


def from_resident(resident: Resident) -> model_admin_service_pb2.Resident:
    return model_admin_service_pb2.Resident(
        voice_id=resident.voice_id,
        tier=TIER_VALUES[resident.tier],
        state=STATE_VALUES[resident.state],
        bytes_own=resident.bytes_own,
        bytes_shared=resident.bytes_shared,
        leases=resident.leases,
        pinned=resident.pinned,
        model_generation=resident.generation,
        idle_ms=resident.idle_s * 1000,
        loads=resident.loads,
        load_ms=resident.load_ms,
    )


def from_event(event: ResidentEvent) -> model_admin_service_pb2.WatchResidentsResponse:
    at = Timestamp()
    at.FromMicroseconds(round(event.at_unix_s * 1e6))
    return model_admin_service_pb2.WatchResidentsResponse(
        event=model_admin_service_pb2.ResidentEvent(
            kind=EVENT_VALUES[event.kind],
            voice_id=event.voice_id,
            tier=TIER_VALUES[event.tier],
            reason=event.reason,
            bytes=event.bytes,
            duration_ms=event.duration_ms,
            event_time=at,
        )
    )


def from_stats(stats: CacheStats) -> model_admin_service_pb2.GetCacheStatsResponse:
    tiers = sorted({*stats.bytes_used, *stats.bytes_budget, *stats.residents})
    caches = sorted({*stats.hits, *stats.misses})
    return model_admin_service_pb2.GetCacheStatsResponse(
        tiers=[
            model_admin_service_pb2.TierStats(
                tier=TIER_VALUES[tier],
                bytes_used=stats.bytes_used.get(tier, 0),
                bytes_budget=stats.bytes_budget.get(tier, 0),
                residents=stats.residents.get(tier, 0),
            )
            for tier in tiers
        ],
        lookups=[
            model_admin_service_pb2.LookupStats(
                cache=cache, hits=stats.hits.get(cache, 0), misses=stats.misses.get(cache, 0)
            )
            for cache in caches
        ],
        loads=stats.loads,
        load_failures=stats.load_failures,
        evictions=stats.evictions,
        networks=stats.networks,
    )
