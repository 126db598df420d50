"""ModelAdminService over a real connection."""

import grpc

from voxswap.v1 import model_admin_service_pb2 as messages
from voxswap.v1 import synthesis_pb2


async def test_a_voice_is_loaded_listed_pinned_and_unloaded(rig):
    loaded = await rig.residency.LoadVoice(messages.LoadVoiceRequest(voice_id="narrator"))
    assert (loaded.resident.tier, loaded.resident.load_ms) == (synthesis_pb2.CACHE_STATE_DEVICE, 35.0)
    assert (await rig.residency.PinVoice(messages.PinVoiceRequest(voice_id="narrator"))).resident.pinned
    listed = await rig.residency.ListResidents(messages.ListResidentsRequest())
    assert [(resident.voice_id, resident.pinned) for resident in listed.residents] == [("narrator", True)]
    assert not (await rig.residency.UnpinVoice(messages.UnpinVoiceRequest(voice_id="narrator"))).resident.pinned
    await rig.residency.UnloadVoice(messages.UnloadVoiceRequest(voice_id="narrator", wait=True))
    assert rig.admin.waited == ["narrator"]
    assert not (await rig.residency.ListResidents(messages.ListResidentsRequest())).residents


async def test_a_voice_that_is_not_there_is_told(rig, refused):
    told = await refused(rig.residency.LoadVoice(messages.LoadVoiceRequest(voice_id="ghost")))
    assert told.code == grpc.StatusCode.NOT_FOUND
    bad = await refused(rig.residency.PinVoice(messages.PinVoiceRequest(voice_id="../ghost")))
    assert bad.details["BadRequest"].field_violations[0].field == "voice_id"


async def test_events_come_in_order_until_the_watcher_leaves(rig):
    call = rig.residency.WatchResidents(messages.WatchResidentsRequest())
    await call.initial_metadata()  # the watch is on before anything has happened
    await rig.admin.changes.until(lambda: rig.admin.watchers)
    await rig.residency.PinVoice(messages.PinVoiceRequest(voice_id="narrator"))
    await rig.residency.UnloadVoice(messages.UnloadVoiceRequest(voice_id="narrator"))
    events = [(await call.read()).event for _ in range(3)]
    assert [messages.ResidentEventKind.Name(event.kind) for event in events] == [
        "RESIDENT_EVENT_KIND_LOADED",
        "RESIDENT_EVENT_KIND_PINNED",
        "RESIDENT_EVENT_KIND_EVICTED",
    ]
    assert events[2].reason == "admin"
    call.cancel()
    await rig.admin.changes.until(lambda: not rig.admin.watchers)


async def test_stats_are_told(rig):
    await rig.residency.LoadVoice(messages.LoadVoiceRequest(voice_id="slate"))
    stats = await rig.residency.GetCacheStats(messages.GetCacheStatsRequest())
    assert [(tier.bytes_used, tier.residents) for tier in stats.tiers] == [(300, 1), (0, 0)]
    assert dict(stats.evictions) == {"lru": 1}
