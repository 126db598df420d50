"""What a server does before it says that it is ready: load what should be there, and speak once.

Knows nothing of sockets.
"""

import asyncio

import structlog

from voxswap_server.app.engine import Engine
from voxswap_server.domain import AudioFormat, SynthesisRequest
from voxswap_server.errors import VoxswapError
from voxswap_server.rpc.server import RpcServer
from voxswap_server.settings import Settings

log = structlog.get_logger(__name__)


async def make_ready(settings: Settings, engine: Engine, rpc: RpcServer) -> None:
    """Loads what should be there from the start, speaks with the first of it, and only then says that it is ready."""
    await asyncio.gather(*(engine.text.warm(code) for code in settings.voices.warm_languages))
    await rpc.health.set_voices(await engine.library.list_voices())
    wanted = (*settings.voices.pin, *settings.voices.prewarm)
    for voice_id, error in (await engine.residency.prewarm(wanted)).items():
        log.error("prewarm failed", voice=voice_id, reason=error.reason, problem=error.message)
    for voice_id in settings.voices.pin:
        try:
            await engine.residency.pin_voice(voice_id)
        except VoxswapError as error:
            log.error("pin failed", voice=voice_id, reason=error.reason, problem=error.message)  # noqa: TRY400 - no stack
    for resident in engine.residency.residents()[:1]:
        await _speak_once(engine, resident.voice_id)
    await rpc.health.set_ready(True)


async def _speak_once(engine: Engine, voice_id: str) -> None:
    """A dummy synthesis: proves that the whole path works, and warms it.

    Raises:
        VoxswapError: it does not work; a server that cannot speak does not start.
    """
    request = SynthesisRequest("readiness", voice_id, "Ready.", audio=AudioFormat(), deadline_s=None)
    async for _ in engine.synthesizer.synthesize(request):
        pass
