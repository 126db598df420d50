"""Residency and health: messages to values."""

from collections.abc import Sequence
from datetime import UTC

from grpc_health.v1 import health_pb2

from voxswap.v1 import model_admin_service_pb2 as messages
from voxswap_client.convert import enums
from voxswap_client.convert.speech import tier_name
from voxswap_client.residency import CacheStats, Health, Lookups, Resident, ResidentEvent, Tier


def from_resident(resident: messages.Resident) -> Resident:
    return Resident(
        voice_id=resident.voice_id,
        tier=tier_name(resident.tier),
        state=enums.name(messages.ResidentState.DESCRIPTOR, "RESIDENT_STATE", resident.state),
        bytes_own=resident.bytes_own,
        bytes_shared=resident.bytes_shared,
        leases=resident.leases,
        pinned=resident.pinned,
        model_generation=resident.model_generation,
        idle_ms=resident.idle_ms,
        loads=resident.loads,
        load_ms=resident.load_ms,
    )


def from_watch(response: messages.WatchResidentsResponse) -> Sequence[ResidentEvent]:
    event = response.event
    change = ResidentEvent(
        kind=enums.name(messages.ResidentEventKind.DESCRIPTOR, "RESIDENT_EVENT_KIND", event.kind),
        voice_id=event.voice_id,
        tier=tier_name(event.tier),
        reason=event.reason,
        bytes=event.bytes,
        duration_ms=event.duration_ms,
        at=event.event_time.ToDatetime(tzinfo=UTC),
    )
    return (change,)


def from_stats(stats: messages.GetCacheStatsResponse) -> CacheStats:
    return CacheStats(
        tiers=tuple(
            Tier(tier_name(tier.tier), tier.bytes_used, tier.bytes_budget, tier.residents) for tier in stats.tiers
        ),
        lookups=tuple(Lookups(found.cache, found.hits, found.misses) for found in stats.lookups),
        loads=stats.loads,
        load_failures=stats.load_failures,
        evictions=dict(stats.evictions),
        networks=dict(stats.networks),
    )


def from_health(service: str, response: health_pb2.HealthCheckResponse) -> Health:
    wire: str = health_pb2.HealthCheckResponse.ServingStatus.Name(response.status)
    return Health(service, wire.lower())
