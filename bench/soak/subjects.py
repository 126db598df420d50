"""What is soaked: an engine in this process, or a server in a process of its own. Both do the same.

Knows nothing of counts or logs.
"""

import asyncio
import json
import os
import subprocess
import sys
from collections import deque
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import aclosing, asynccontextmanager
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any, Final

from prometheus_client import CollectorRegistry

from bench.soak.work import Subject
from voxswap_client.aio import AsyncClient
from voxswap_client.live import LiveInput, Text
from voxswap_client.speech import AudioChunk as HeardChunk
from voxswap_client.speech import SpeechOptions
from voxswap_client.speech import StreamStarted as HeardStart
from voxswap_server.app import Engine, build_engine
from voxswap_server.domain import AudioChunk, Language, StreamStarted, SynthesisRequest
from voxswap_server.domain_live import LiveConfig, LiveMessage, LiveText
from voxswap_server.engine.device import DeviceConfig, open_device
from voxswap_server.engine.loader import StoreLoader
from voxswap_server.engine.residency.contract import ResidencyConfig
from voxswap_server.metrics import Metrics
from voxswap_server.settings import Settings, VoicesConfig
from voxswap_store.catalogue import Catalogue

_SERVE: Final = "from voxswap_server.cli import main; main()"


@dataclass(frozen=True, slots=True)
class Conditions:
    """Under which it runs; a budget of 0 is the server's own."""

    store: Path
    threads: int
    budget_bytes: int = 0
    built_in: bool = False
    """Whether the voices that come with voxswap are there beside those of the store."""

    @property
    def residency(self) -> ResidencyConfig:
        """A swap waits for nothing: a voice may go as soon as it has come."""
        return ResidencyConfig(device_budget_bytes=self.budget_bytes, min_resident_s=0.0)


class InProcess:
    """An engine without a transport."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    async def load(self, voice_id: str) -> None:
        async with self._engine.residency.lease(voice_id):
            pass

    async def loads(self) -> int:
        return (await self._engine.residency.cache_stats()).loads

    async def talk(self, voice_id: str, sentences: AsyncIterator[str]) -> AsyncGenerator[float, None]:
        async def messages() -> AsyncIterator[LiveMessage]:
            async for sentence in sentences:
                yield LiveText(sentence)

        rate_hz = 0
        config = LiveConfig(SynthesisRequest("soak", voice_id, "", Language("en")))
        async with aclosing(self._engine.live.live(config, messages())) as events:
            async for event in events:
                if isinstance(event, StreamStarted):
                    rate_hz = event.sample_rate_hz
                elif isinstance(event, AudioChunk):
                    yield event.samples / rate_hz

    def rss_bytes(self) -> int:
        return rss_bytes(os.getpid())


class Server:
    """A server in another process, spoken to over gRPC."""

    def __init__(self, client: AsyncClient, pid: int) -> None:
        self._client = client
        self._pid = pid

    async def load(self, voice_id: str) -> None:
        await self._client.load_voice(voice_id)

    async def loads(self) -> int:
        return (await self._client.cache_stats()).loads

    async def talk(self, voice_id: str, sentences: AsyncIterator[str]) -> AsyncGenerator[float, None]:
        async def inputs() -> AsyncIterator[LiveInput]:
            async for sentence in sentences:
                yield Text(sentence)

        rate_hz = 0
        async with aclosing(self._client.live_events(inputs(), voice_id, SpeechOptions(language_code="en"))) as events:
            async for event in events:
                if isinstance(event, HeardStart):
                    rate_hz = event.sample_rate_hz
                elif isinstance(event, HeardChunk):
                    yield event.samples / rate_hz

    def rss_bytes(self) -> int:
        return rss_bytes(self._pid)


@asynccontextmanager
async def in_process(conditions: Conditions) -> AsyncIterator[Subject]:
    settings = Settings(
        store=conditions.store,
        device=DeviceConfig("cpu", threads=conditions.threads),
        residency=conditions.residency,
        voices=VoicesConfig(built_in=conditions.built_in),
    )
    async with build_engine(settings, Metrics(CollectorRegistry())) as engine:
        yield InProcess(engine)


@asynccontextmanager
async def over_grpc(conditions: Conditions, folder: Path) -> AsyncIterator[Subject]:
    """Starts a server, and ends it.

    Args:
        conditions: of the server.
        folder: for its settings and its log.
    """
    settings = folder / "soak.toml"
    settings.write_text(_toml(conditions), "utf-8")
    with (folder / "server.err").open("wb") as errors:
        process = subprocess.Popen(  # noqa: ASYNC220 - it starts at once; what waits for it has a thread
            [sys.executable, "-c", _SERVE, "serve", "--config", str(settings)], stdout=subprocess.PIPE, stderr=errors
        )
    with process:
        try:
            port = await asyncio.to_thread(_port, process, folder / "server.err")
            # A full pipe would stop the server.
            emptied = asyncio.create_task(asyncio.to_thread(deque, process.stdout or (), 0))
            async with AsyncClient(f"127.0.0.1:{port}") as client:
                yield Server(client, process.pid)
        finally:
            process.terminate()
        await emptied


def device_bytes(store: Path, threads: int) -> dict[str, int]:
    """What each voice of a store takes in memory, by id."""
    loader = StoreLoader(Catalogue(store), open_device(DeviceConfig("cpu", threads=threads)))
    return {
        voice_id: sum(part.size_bytes for part in loader.plan(voice_id).parts) for voice_id in Catalogue(store).ids()
    }


def rss_bytes(pid: int) -> int:
    """Resident memory of a process, as Linux counts it."""
    return int(Path(f"/proc/{pid}/statm").read_text("ascii").split()[1]) * os.sysconf("SC_PAGE_SIZE")


def _toml(conditions: Conditions) -> str:
    sections: dict[str, dict[str, Any]] = {
        "device": {"name": "cpu", "threads": conditions.threads},
        "residency": {one.name: getattr(conditions.residency, one.name) for one in fields(ResidencyConfig)},
        "rpc": {"address": "127.0.0.1:0"},
        "metrics": {"enabled": False},
        "voices": {"built_in": conditions.built_in},
        "logs": {"json": True},
    }
    lines = [f"store = {json.dumps(str(conditions.store.absolute()))}"]
    for name, section in sections.items():  # JSON's strings, numbers and booleans are TOML's
        lines += [f"[{name}]", *(f"{key} = {json.dumps(value)}" for key, value in section.items())]
    return "\n".join(lines) + "\n"


def _port(process: "subprocess.Popen[bytes]", errors: Path) -> int:
    """Waits until it serves.

    Raises:
        RuntimeError: it ended before; the message has its last line.
    """
    last = b""
    for line in process.stdout or ():
        last = line
        if line.startswith(b"{") and (row := json.loads(line)).get("event") == "serving":
            return int(row["port"])
    said = errors.read_text("utf-8", "replace").strip().splitlines()
    raise RuntimeError(f"the server ended: {(said or [last.decode()])[-1]}")
