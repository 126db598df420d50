"""A whole engine without a transport, driven from ordinary code.

Knows nothing of measurements.
"""

import asyncio
from collections.abc import Coroutine, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeVar

from prometheus_client import CollectorRegistry

from voxswap_server.app import Engine, build_engine
from voxswap_server.engine.device import DeviceConfig
from voxswap_server.metrics import Metrics
from voxswap_server.settings import Settings, VoicesConfig

T = TypeVar("T")


class Driven:
    """An engine and the event loop on which it lives."""

    def __init__(self, engine: Engine, runner: asyncio.Runner) -> None:
        self.engine = engine
        self._runner = runner

    def run(self, work: Coroutine[Any, Any, T]) -> T:
        """Runs to the end of `work` on the engine's loop."""
        return self._runner.run(work)


@contextmanager
def engine_over(store: Path, threads: int, **changes: Any) -> Iterator[Driven]:
    """An engine over a store, on the CPU, all else as the settings say; `changes` are sections of them."""
    usual: dict[str, Any] = {"voices": VoicesConfig(built_in=False)}
    settings = Settings(store=store, device=DeviceConfig("cpu", threads=threads), **usual | changes)
    building = build_engine(settings, Metrics(CollectorRegistry()))
    with asyncio.Runner() as runner:
        engine = runner.run(building.__aenter__())
        try:
            yield Driven(engine, runner)
        finally:
            runner.run(building.__aexit__(None, None, None))
