"""What goes on beside the requests for as long as a server serves: levels, changes of the store, audit lines.

Knows nothing of how any of it is made.
"""

import asyncio
from collections.abc import Callable, Coroutine
from contextlib import AsyncExitStack, aclosing
from typing import Any

import structlog

from voxswap_server.app.engine import Engine
from voxswap_server.domain import ModelAdmin
from voxswap_server.errors import VoxswapError
from voxswap_server.logs import audit
from voxswap_server.metrics import Metrics
from voxswap_server.rpc.server import RpcServer

log = structlog.get_logger(__name__)

AUDITED = ("loaded", "evicted", "load_failed")
"""Events of residency that are kept on record; what operators asked for is recorded where they ask."""


def keep_up(stack: AsyncExitStack, work: Coroutine[Any, Any, None]) -> None:
    """Does this work beside everything else, until the stack unwinds."""
    stack.push_async_callback(_ended, asyncio.create_task(work))


def publish_levels(engine: Engine, metrics: Metrics) -> None:
    """Levels are read when somebody scrapes them."""

    def level(tier: str, name: str) -> Callable[[], float]:
        return lambda: float(getattr(engine.residency.levels()[tier], name))

    for tier in engine.residency.levels():
        names = ("residents", "leased_bytes", "evictable_bytes")
        metrics.tier_levels(tier, **{name: level(tier, name) for name in names})
    for kind in engine.device.memory_bytes():
        metrics.device_memory(kind, lambda kind=kind: engine.device.memory_bytes()[kind])  # type: ignore[misc]


async def follow_store(engine: Engine, rpc: RpcServer) -> None:
    """Whoever changes the store, this process follows: new revisions are loaded, removed voices are unloaded."""
    async for change in engine.catalogue.watch():
        try:
            if change.kind == "removed":
                await engine.residency.unload_voice(change.voice_id)
            elif change.kind == "changed":
                await engine.residency.reload(change.voice_id)
        except VoxswapError as error:
            log.error("reload failed", voice=change.voice_id, problem=error.message)  # noqa: TRY400 - no stack
        await rpc.health.set_voices(await engine.library.list_voices())


async def audit_residency(residency: ModelAdmin) -> None:
    """One audit line for each voice that came, went or could not come, whoever or whatever was the cause."""
    async with aclosing(residency.watch_residents()) as events:
        async for event in events:
            if event.kind in AUDITED:
                audit(event.kind, voice=event.voice_id, tier=event.tier, reason=event.reason, bytes=event.bytes)


async def _ended(task: "asyncio.Task[None]") -> None:
    task.cancel()
    try:
        await task
    except asyncio.CancelledError:
        return
