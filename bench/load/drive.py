"""Sends the arrivals at their times, whatever has become of those before, and writes down how each fared.

A driver that waits for answers slows down with the server and so hides its queue; this one does not. How late it was
itself is written down too: a run whose driver lagged says nothing about the server.
"""

import asyncio
import time
from collections.abc import Callable, Iterable
from contextlib import aclosing
from dataclasses import dataclass, replace

from bench.load.listener import Listener
from bench.load.traffic import Arrival
from voxswap_client.aio import AsyncClient
from voxswap_client.errors import VoxswapError
from voxswap_client.speech import AudioChunk, AudioEncoding, Sampling, SpeechOptions, StreamStarted

_OPTIONS = SpeechOptions(language_code="en", encoding=AudioEncoding.PCM_S16)


@dataclass(frozen=True, slots=True)
class Outcome:
    """How one request fared."""

    at_s: float
    """When it was due, after the start."""
    voice_id: str
    kind: str
    """Of its text."""
    code: str
    """OK, or the gRPC status of its failure."""
    late_s: float
    """How much after its time the driver sent it."""
    ttfa_s: float | None
    total_s: float
    audio_s: float
    underrun_s: float
    underruns: int
    longest_gap_s: float
    cache_state: str
    """Where the voice was: device, host or disk; "" where the server did not say."""


async def drive(
    client: AsyncClient,
    plan: Iterable[Arrival],
    *,
    timeout_s: float,
    clock: Callable[[], float] = time.monotonic,
) -> list[Outcome]:
    """Carries a plan out and waits for the last answer.

    Args:
        client: must not retry: a second try is a request that the plan does not have.
        plan: in order of time.
        timeout_s: deadline of each request.
        clock: monotonic seconds.
    """
    start_s = clock()
    asked: list[asyncio.Task[Outcome]] = []
    async with asyncio.TaskGroup() as group:
        for arrival in plan:
            await asyncio.sleep(max(0.0, start_s + arrival.at_s - clock()))
            asked.append(group.create_task(_ask(client, arrival, start_s, timeout_s, clock)))
    return [task.result() for task in asked]


async def _ask(
    client: AsyncClient, arrival: Arrival, start_s: float, timeout_s: float, clock: Callable[[], float]
) -> Outcome:
    listener = Listener(asked_s=start_s + arrival.at_s)
    late_s = clock() - listener.asked_s
    code, rate_hz, cache_state = "OK", 0, ""
    options = replace(_OPTIONS, sampling=Sampling(seed=arrival.seed))
    events = client.stream(arrival.text.words, arrival.voice_id, options, timeout_s=timeout_s)
    try:
        async with aclosing(events):
            async for event in events:
                if isinstance(event, StreamStarted):
                    rate_hz, cache_state = event.sample_rate_hz, event.cache_state
                elif isinstance(event, AudioChunk):
                    listener.audio(clock(), event.samples / rate_hz)
    except VoxswapError as error:
        code = error.code.name
    return Outcome(
        at_s=arrival.at_s,
        voice_id=arrival.voice_id,
        kind=arrival.text.kind,
        code=code,
        late_s=late_s,
        ttfa_s=listener.ttfa_s,
        total_s=clock() - listener.asked_s,
        audio_s=listener.heard_s,
        underrun_s=listener.underrun_s,
        underruns=listener.underruns,
        longest_gap_s=max(listener.gaps_s, default=0.0),
        cache_state=cache_state,
    )
