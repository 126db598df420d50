"""Messages of VoiceService and ModelAdminService."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.fixtures.fake_engine import FakeAdmin, voice_info
from voxswap.v1 import model_admin_service_pb2, synthesis_pb2, voice_service_pb2
from voxswap_server.domain import ResidentEvent
from voxswap_server.errors import InvalidFields
from voxswap_server.rpc.convert import admin, voices


def refused(call):
    with pytest.raises(InvalidFields) as caught:
        call()
    return dict(caught.value.violations)


def test_tables_know_every_value():
    assert set(voices.VERSIONS) == set(voice_service_pb2.ModelVersion.values())
    assert set(voices.STATE_VALUES.values()) == set(voice_service_pb2.VoiceState.values()) - {0}
    assert set(admin.STATE_VALUES.values()) == set(model_admin_service_pb2.ResidentState.values()) - {0}
    assert set(admin.EVENT_VALUES.values()) == set(model_admin_service_pb2.ResidentEventKind.values()) - {0}
    assert set(admin.TIER_VALUES.values()) == set(synthesis_pb2.CacheState.values())


def test_a_voice_is_told_whole():
    info = voice_info(
        "narrator",
        version="v2ProPlus",
        display_name="N",
        description="d",
        licence="l",
        consent="c",
        tags=("t",),
        state="broken",
        problem="p",
        bytes_total=12,
        revision="r",
    )
    told = voices.from_voice(info)
    assert told.model_version == voice_service_pb2.MODEL_VERSION_V2_PRO_PLUS
    assert told.state == voice_service_pb2.VOICE_STATE_BROKEN
    assert (told.natural_sample_rate_hertz, list(told.language_codes)) == (32000, ["zh", "en", "ja"])
    named = ("voice_id", "display_name", "description", "licence", "consent", "problem", "bytes_total", "revision")
    assert [getattr(told, name) for name in named] == [getattr(info, name) for name in named]


@given(st.integers(1, 40), st.integers(1, 15))
def test_pages_hold_every_voice_once_in_order(count, size):
    infos = [voice_info(f"v{index:02}") for index in reversed(range(count))]
    seen, token = [], ""
    while True:
        page = voices.to_page(voice_service_pb2.ListVoicesRequest(page_size=size, page_token=token), infos)
        assert len(page.voices) <= size
        seen += [voice.voice_id for voice in page.voices]
        token = page.next_page_token
        if not token:
            break
    assert seen == [f"v{index:02}" for index in range(count)]


def test_voices_are_listed_by_language():
    infos = [voice_info("a", languages=("en",)), voice_info("b", languages=("zh", "ko"))]
    page = voices.to_page(voice_service_pb2.ListVoicesRequest(language_code="ko-KR"), infos)
    assert [voice.voice_id for voice in page.voices] == ["b"]


def test_a_bad_page_is_refused():
    request = voice_service_pb2.ListVoicesRequest(page_size=-1, language_code="tlh", page_token="../x")
    assert set(refused(lambda: voices.to_page(request, []))) == {"page_size", "language_code", "page_token"}


def test_only_what_is_set_is_changed():
    request = voice_service_pb2.UpdateVoiceRequest(voice_id="narrator", description="")
    voice_id, changes = voices.to_changes(request)
    assert voice_id == "narrator"
    assert changes.description == ""
    given_ = {name for name in changes.__slots__ if getattr(changes, name) is not None}
    assert given_ == {"description"}


def test_tags_may_be_emptied_and_are_kept_once():
    empty = voice_service_pb2.UpdateVoiceRequest(voice_id="a", tags=voice_service_pb2.TagList())
    assert voices.to_changes(empty)[1].tags == ()
    double = voice_service_pb2.UpdateVoiceRequest(voice_id="a", tags=voice_service_pb2.TagList(tags=["x", " x ", "y"]))
    assert voices.to_changes(double)[1].tags == ("x", "y")


def test_a_bad_update_lists_everything():
    request = voice_service_pb2.UpdateVoiceRequest(
        voice_id="A",
        display_name="n" * 201,
        consent="c" * 4001,
        tags=voice_service_pb2.TagList(tags=[" "]),
        prompt=synthesis_pb2.Prompt(transcript="no audio"),
        sampling_config=synthesis_pb2.SamplingConfig(seed=1, top_k=0),
    )
    assert list(refused(lambda: voices.to_changes(request))) == [
        "voice_id",
        "display_name",
        "consent",
        "tags.tags[0]",
        "prompt.reference_audio",
        "sampling_config.seed",
        "sampling_config.top_k",
    ]


def test_an_update_of_nothing_is_refused():
    request = voice_service_pb2.UpdateVoiceRequest(voice_id="a")
    assert refused(lambda: voices.to_changes(request)) == {"": "nothing to change is set"}


@pytest.mark.parametrize(("asked", "limit"), [(0, 5), (1, 1), (100, 100)])
def test_limits_of_a_search(asked, limit):
    assert voices.to_limit(asked) == limit


@pytest.mark.parametrize("asked", [-1, 101])
def test_limits_out_of_bounds_are_refused(asked):
    assert list(refused(lambda: voices.to_limit(asked))) == ["limit"]


async def test_a_resident_is_told_whole():
    told = admin.from_resident(await FakeAdmin().load_voice("narrator"))
    assert (told.voice_id, told.tier, told.state) == (
        "narrator",
        synthesis_pb2.CACHE_STATE_DEVICE,
        model_admin_service_pb2.RESIDENT_STATE_RESIDENT,
    )
    assert (told.bytes_own, told.bytes_shared, told.model_generation) == (240, 60, 1)
    assert (told.idle_ms, told.load_ms, told.loads) == (1500.0, 35.0, 1)


def test_an_event_keeps_its_time():
    event = ResidentEvent("evicted", "slate", "host", "ttl", 7, 1.5, at_unix_s=1_700_000_000.25)
    told = admin.from_event(event).event
    assert told.kind == model_admin_service_pb2.RESIDENT_EVENT_KIND_EVICTED
    assert told.event_time.ToMilliseconds() == 1_700_000_000_250
    assert (told.voice_id, told.tier, told.reason, told.bytes) == ("slate", synthesis_pb2.CACHE_STATE_HOST, "ttl", 7)


async def test_stats_hold_every_tier_and_cache_once():
    told = admin.from_stats(await FakeAdmin().cache_stats())
    assert [(tier.tier, tier.bytes_used, tier.bytes_budget) for tier in told.tiers] == [
        (synthesis_pb2.CACHE_STATE_DEVICE, 0, 1000),
        (synthesis_pb2.CACHE_STATE_HOST, 0, 2000),
    ]
    assert [(look.cache, look.hits, look.misses) for look in told.lookups] == [("prompts", 0, 1), ("voices", 5, 2)]
    assert (told.loads, dict(told.evictions)) == (2, {"lru": 1})
