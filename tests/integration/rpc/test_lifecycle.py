"""From start to drain: health, reflection, addresses, and the order in which a server goes."""

import asyncio

import grpc
import pytest
from grpc import aio
from grpc_health.v1 import health_pb2
from grpc_reflection.v1alpha import reflection_pb2, reflection_pb2_grpc

from tests.fixtures.fake_engine import voice_info
from voxswap.v1 import model_admin_service_pb2, speech_service_pb2, synthesis_pb2

SPEECH = "voxswap.v1.SpeechService"
SERVING = health_pb2.HealthCheckResponse.SERVING
NOT_SERVING = health_pb2.HealthCheckResponse.NOT_SERVING
SERVICE_UNKNOWN = health_pb2.HealthCheckResponse.SERVICE_UNKNOWN


async def check(rig, service):
    return (await rig.health.Check(health_pb2.HealthCheckRequest(service=service))).status


def speak(rig, text="three small words", **options):
    config = synthesis_pb2.SpeechConfig(voice_id="narrator")
    request = speech_service_pb2.SynthesizeStreamRequest(text=text, config=config)
    return rig.speech.SynthesizeStream(request, **options)


async def test_liveness_comes_before_readiness(rig):
    assert await check(rig, "") == SERVING
    for service in (SPEECH, "voxswap.v1.VoiceService", "voxswap.v1.ModelAdminService"):
        assert await check(rig, service) == NOT_SERVING
    await rig.server.health.set_ready(True)
    assert await check(rig, SPEECH) == SERVING
    await rig.server.health.set_ready(False)
    assert (await check(rig, SPEECH), await check(rig, "")) == (NOT_SERVING, SERVING)


async def test_each_voice_has_its_own_health(rig, refused):
    health = rig.server.health
    await health.set_ready(True)
    await health.set_voices([voice_info("narrator"), voice_info("slate", state="broken")])
    assert await check(rig, f"{SPEECH}/voice/narrator") == SERVING
    assert await check(rig, f"{SPEECH}/voice/slate") == NOT_SERVING
    told = await refused(rig.health.Check(health_pb2.HealthCheckRequest(service=f"{SPEECH}/voice/ghost")))
    assert told.code == grpc.StatusCode.NOT_FOUND
    await health.set_voices([voice_info("slate")])
    assert await check(rig, f"{SPEECH}/voice/slate") == SERVING
    assert await check(rig, f"{SPEECH}/voice/narrator") == SERVICE_UNKNOWN
    await health.set_ready(False)
    assert await check(rig, f"{SPEECH}/voice/slate") == NOT_SERVING


async def test_a_watcher_hears_of_every_change(rig):
    watch = rig.health.Watch(health_pb2.HealthCheckRequest(service=SPEECH))
    assert (await watch.read()).status == NOT_SERVING
    await rig.server.health.set_ready(True)
    assert (await watch.read()).status == SERVING
    watch.cancel()


async def test_reflection_lists_the_services_and_their_files(rig):
    stub = reflection_pb2_grpc.ServerReflectionStub(rig.channel)

    async def questions():
        yield reflection_pb2.ServerReflectionRequest(list_services="")
        yield reflection_pb2.ServerReflectionRequest(file_containing_symbol=SPEECH)

    listed, described = [answer async for answer in stub.ServerReflectionInfo(questions())]
    assert {service.name for service in listed.list_services_response.service} == {
        SPEECH,
        "voxswap.v1.VoiceService",
        "voxswap.v1.ModelAdminService",
        "grpc.health.v1.Health",
        "grpc.reflection.v1alpha.ServerReflection",
    }
    assert any(b"SynthesizeStream" in proto for proto in described.file_descriptor_response.file_descriptor_proto)


async def test_a_unix_socket_serves_too(start, tmp_path):
    async with start(address=f"unix:{tmp_path}/voxswap.sock") as rig:
        assert rig.server.port in {0, 1}
        async with aio.insecure_channel(f"unix:{tmp_path}/voxswap.sock") as channel:
            assert await check(type(rig)(channel=channel), "") == SERVING


async def test_a_taken_port_is_an_error(rig, start):
    with pytest.raises(OSError, match=f"127.0.0.1:{rig.server.port}"):
        async with start(address=f"127.0.0.1:{rig.server.port}"):
            pass


async def test_a_client_that_pings_too_often_is_sent_away(start, refused):
    async with start(min_ping_interval_s=60.0) as rig:
        rig.synthesizer.stalls.add(1)
        hasty = (("grpc.keepalive_time_ms", 10), ("grpc.http2.max_pings_without_data", 0))
        async with rig.connect(*hasty, ("grpc.http2.min_time_between_pings_ms", 10)) as channel:
            told = await refused(speak(type(rig)(server=rig.server, channel=channel)))
        assert told.code == grpc.StatusCode.UNAVAILABLE
        await rig.synthesizer.until(lambda: rig.synthesizer.released == 1)


async def test_draining_says_so_then_lets_work_end_then_stops(start, refused):
    async with start(drain_grace_s=60.0) as rig:
        await rig.server.health.set_ready(True)
        watch = rig.health.Watch(health_pb2.HealthCheckRequest(service=SPEECH))
        assert (await watch.read()).status == SERVING
        rig.synthesizer.stalls.add(1)
        running = speak(rig)
        await rig.synthesizer.until(lambda: rig.synthesizer.stalled)

        draining = asyncio.create_task(rig.server.drain())
        assert (await watch.read()).status == NOT_SERVING
        assert await check(rig, "") == NOT_SERVING
        told = await refused(speak(rig))
        assert told.code == grpc.StatusCode.UNAVAILABLE
        assert told.details["RetryInfo"].retry_delay.seconds == 1
        assert told.details["ErrorInfo"].reason == "DRAINING"
        assert not draining.done()

        rig.synthesizer.go.set()
        responses = [response async for response in running]
        assert responses[-1].done.samples == 15 * 3200
        assert await draining
        assert rig.synthesizer.begun == rig.synthesizer.released == 1


async def test_health_stays_down_while_draining(start):
    async with start(drain_grace_s=60.0) as rig:
        rig.synthesizer.stalls.add(1)
        running = speak(rig)
        await rig.synthesizer.until(lambda: rig.synthesizer.stalled)
        draining = asyncio.create_task(rig.server.drain())
        while await check(rig, "") == SERVING:
            pass
        await rig.server.health.set_ready(True)
        assert await check(rig, SPEECH) == NOT_SERVING
        rig.synthesizer.go.set()
        assert [response async for response in running]
        await draining


async def test_work_that_outlasts_the_grace_is_cut_off_and_released(start, refused):
    async with start(drain_grace_s=0.0) as rig:
        rig.synthesizer.stalls.add(1)
        running = speak(rig)
        await rig.synthesizer.until(lambda: rig.synthesizer.stalled)
        assert not await rig.server.drain()
        await rig.synthesizer.until(lambda: rig.synthesizer.released == 1)
        told = await refused(running)
        assert told.code in {grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.CANCELLED}


async def test_watchers_of_residency_do_not_hold_up_a_drain(start, refused):
    async with start(drain_grace_s=60.0) as rig:
        watch = rig.residency.WatchResidents(model_admin_service_pb2.WatchResidentsRequest())
        await watch.initial_metadata()
        await rig.admin.changes.until(lambda: rig.admin.watchers)
        draining = asyncio.create_task(rig.server.drain())
        told = await refused(watch)
        assert told.code == grpc.StatusCode.UNAVAILABLE
        assert await draining
        assert not rig.admin.watchers


async def test_draining_twice_is_draining_once(rig):
    first, second = await asyncio.gather(rig.server.drain(), rig.server.drain())
    assert first
    assert second
