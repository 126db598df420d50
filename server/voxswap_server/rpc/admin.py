"""ModelAdminService. Knows nothing of how voices are kept in memory."""

from collections.abc import AsyncIterator
from contextlib import aclosing

from voxswap.v1 import model_admin_service_pb2 as messages
from voxswap.v1 import model_admin_service_pb2_grpc
from voxswap_server.domain import ModelAdmin
from voxswap_server.logs import audit
from voxswap_server.rpc.calls import Context, current_call
from voxswap_server.rpc.convert import admin
from voxswap_server.rpc.convert.voices import to_voice_id


class ModelAdminServicer(model_admin_service_pb2_grpc.ModelAdminServiceServicer):
    """Residency, for operators."""

    def __init__(self, residency: ModelAdmin) -> None:
        self._residency = residency

    async def LoadVoice(self, request: messages.LoadVoiceRequest, context: Context) -> messages.LoadVoiceResponse:
        resident = await self._residency.load_voice(to_voice_id(request.voice_id))
        audit("load", voice=resident.voice_id, load_ms=resident.load_ms)
        return messages.LoadVoiceResponse(resident=admin.from_resident(resident))

    async def UnloadVoice(self, request: messages.UnloadVoiceRequest, context: Context) -> messages.UnloadVoiceResponse:
        voice_id = to_voice_id(request.voice_id)
        await self._residency.unload_voice(voice_id, wait=request.wait)
        audit("unload", voice=voice_id)
        return messages.UnloadVoiceResponse()

    async def PinVoice(self, request: messages.PinVoiceRequest, context: Context) -> messages.PinVoiceResponse:
        resident = await self._residency.pin_voice(to_voice_id(request.voice_id))
        audit("pin", voice=resident.voice_id)
        return messages.PinVoiceResponse(resident=admin.from_resident(resident))

    async def UnpinVoice(self, request: messages.UnpinVoiceRequest, context: Context) -> messages.UnpinVoiceResponse:
        resident = await self._residency.unpin_voice(to_voice_id(request.voice_id))
        audit("unpin", voice=resident.voice_id)
        return messages.UnpinVoiceResponse(resident=admin.from_resident(resident))

    async def ListResidents(
        self, request: messages.ListResidentsRequest, context: Context
    ) -> messages.ListResidentsResponse:
        residents = await self._residency.list_residents()
        return messages.ListResidentsResponse(residents=[admin.from_resident(resident) for resident in residents])

    async def WatchResidents(
        self, request: messages.WatchResidentsRequest, context: Context
    ) -> AsyncIterator[messages.WatchResidentsResponse]:
        async with aclosing(self._residency.watch_residents()) as events:
            await current_call().send_headers(context)  # the caller learns that it watches before anything happens
            async for event in events:
                yield admin.from_event(event)

    async def GetCacheStats(
        self, request: messages.GetCacheStatsRequest, context: Context
    ) -> messages.GetCacheStatsResponse:
        return admin.from_stats(await self._residency.cache_stats())
