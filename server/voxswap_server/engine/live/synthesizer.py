"""Speaks while the text is still being written. Implements `domain_live.LiveSynthesizer`."""

from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import aclosing

from voxswap_server.domain_live import LiveConfig, LiveEvent, LiveMessage
from voxswap_server.engine.live.limits import LiveLimits
from voxswap_server.engine.live.stream import LiveMetrics, LiveStream
from voxswap_server.engine.synthesizer import Services
from voxswap_server.errors import Overloaded


class EngineLiveSynthesizer:
    """All live streams of the server."""

    def __init__(self, services: Services, limits: LiveLimits, metrics: LiveMetrics) -> None:
        self._on = services
        self._limits = limits
        self._metrics = metrics
        self._streams = 0

    async def live(self, config: LiveConfig, messages: AsyncIterator[LiveMessage]) -> AsyncGenerator[LiveEvent, None]:
        """As `domain_live.LiveSynthesizer.live`.

        Raises:
            Overloaded: there are as many streams as there may be.
        """
        if self._streams >= self._limits.max_streams:
            raise Overloaded(f"{self._streams} live streams are open, which is the limit", retry_after_s=5.0)
        self._count(1)
        try:
            stream = LiveStream(self._on, self._limits, self._metrics, config)
            async with aclosing(stream.events(messages)) as events:
                async for event in events:
                    yield event
        finally:
            self._count(-1)

    def _count(self, change: int) -> None:
        self._streams += change
        self._metrics.live_streams(self._streams)
