"""grpc.health.v1: whether the server, each service and each voice can serve.

Knows nothing of why. "" is liveness: SERVING from the start until the drain. The services are readiness: NOT_SERVING
until somebody says otherwise. `voxswap.v1.SpeechService/voice/<id>` is one voice.
"""

from collections.abc import Iterable

from grpc_health.v1 import health_pb2
from grpc_health.v1.health import aio as health_aio

from voxswap_server.domain import VoiceInfo

Status = health_pb2.HealthCheckResponse
VOICE_PREFIX = "voxswap.v1.SpeechService/voice/"


class Health:
    """What the health service answers.

    Args:
        services: full names of the services whose readiness is told.
    """

    def __init__(self, services: Iterable[str]) -> None:
        self.servicer = health_aio.HealthServicer()
        self._services = tuple(services)
        self._ready = False
        self._voices: dict[str, bool] = {}

    async def set_ready(self, ready: bool) -> None:
        """Readiness of all services and, with it, of the voices."""
        self._ready = ready
        for service in self._services:
            await self.servicer.set(service, _status(serving=ready))
        for voice_id in self._voices:
            await self._tell_voice(voice_id)

    async def set_voices(self, voices: Iterable[VoiceInfo]) -> None:
        """All voices that there are now. One that is broken is NOT_SERVING; one that went is SERVICE_UNKNOWN."""
        present = {voice.voice_id: voice.state != "broken" for voice in voices}
        gone = self._voices.keys() - present.keys()
        self._voices = present
        for voice_id in present:
            await self._tell_voice(voice_id)
        for voice_id in gone:
            await self.servicer.set(VOICE_PREFIX + voice_id, Status.SERVICE_UNKNOWN)

    async def drain(self) -> None:
        """NOT_SERVING for everything and for good."""
        await self.servicer.enter_graceful_shutdown()

    async def _tell_voice(self, voice_id: str) -> None:
        await self.servicer.set(VOICE_PREFIX + voice_id, _status(serving=self._ready and self._voices[voice_id]))


def _status(*, serving: bool) -> int:
    status: int = Status.SERVING if serving else Status.NOT_SERVING
    return status
