"""All panel sessions of a server: made when they are first named, forgotten when nobody would miss them.

Knows nothing of HTTP, nor of what a session does.
"""

import asyncio
from collections.abc import Callable, Hashable
from contextvars import Context
from dataclasses import dataclass

from voxswap_server.domain import ModelAdmin, Synthesizer
from voxswap_server.errors import CapacityError
from voxswap_server.http.panel.config import PanelConfig
from voxswap_server.http.panel.session import PanelSession


@dataclass(frozen=True, slots=True)
class _Held:
    session: PanelSession
    running: "asyncio.Task[None]"


class Sessions:
    """Sessions by their owner and their name. All methods belong to one event loop.

    Args:
        synthesizer: the engine, or a fake of it.
        admin: loads voices.
        config: bounds.
        clock: monotonic seconds.
    """

    def __init__(
        self, synthesizer: Synthesizer, admin: ModelAdmin, config: PanelConfig, clock: Callable[[], float]
    ) -> None:
        self._synthesizer = synthesizer
        self._admin = admin
        self._config = config
        self._clock = clock
        self._held: dict[tuple[Hashable, str], _Held] = {}

    def get(self, owner: Hashable, name: str) -> PanelSession:
        """The session of this name.

        Raises:
            CapacityError: there are as many as there may be.
        """
        self._sweep()
        if (owner, name) not in self._held:
            if len(self._held) >= self._config.max_sessions:
                limit = self._config.max_sessions
                raise CapacityError(f"{limit} sessions are open, which is the limit", retry_after_s=60.0)
            session = PanelSession(name, self._synthesizer, self._admin, self._config, self._clock)
            # A context of its own: it outlives the request that named it first.
            self._held[owner, name] = _Held(session, asyncio.create_task(session.run(), context=Context()))
        return self._held[owner, name].session

    async def close(self) -> None:
        """Ends them all."""
        held, self._held = self._held, {}
        for one in held.values():
            one.running.cancel()
        await asyncio.gather(*(one.running for one in held.values()), return_exceptions=True)

    def _sweep(self) -> None:
        latest_s = self._clock() - self._config.idle_s
        for key, one in list(self._held.items()):
            if one.session.idle and one.session.active_s < latest_s:
                one.running.cancel()
                del self._held[key]
