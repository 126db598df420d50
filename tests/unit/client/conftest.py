"""A client of either kind on written-down answers, driven the same way."""

import asyncio
import inspect
from dataclasses import dataclass

import pytest

from tests.fixtures.fake_stubs import AsyncStub, FakeTime, Stub
from voxswap_client import AsyncClient, Client, RetryPolicy, Timing

SERVICES = ("SpeechService", "VoiceService", "ModelAdminService", "Health")


@dataclass
class Rig:
    client: object
    stub: Stub
    time: FakeTime

    def answers(self, method, *answers):
        self.stub.answers[method].extend(answers)

    def run(self, result):
        """Waits for what a method of either client gives: a value, or a list of events."""
        if inspect.isasyncgen(result):
            return asyncio.run(self._collect(result))
        if inspect.iscoroutine(result):
            return asyncio.run(result)
        return list(result) if inspect.isgenerator(result) else result

    async def _collect(self, result):
        return [event async for event in result]


@pytest.fixture(params=["threads", "asyncio"])
def rig(request):
    time = FakeTime()
    policy = RetryPolicy(max_attempts=3, first_pause_s=0.1, jitter=0.0)
    timing = Timing(time, lambda: 0.0)
    if request.param == "threads":
        stub, kind, sleep = Stub(), Client, time.sleep
    else:
        stub, kind, sleep = AsyncStub(), AsyncClient, time.sleep_async
    stub.clock = time
    stubs = dict.fromkeys(SERVICES, stub)
    client = kind(retry=policy, metadata=(("authorization", "secret"),), stubs=stubs, timing=timing, sleep=sleep)
    return Rig(client, stub, time)
