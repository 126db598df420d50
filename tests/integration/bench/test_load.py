"""The load test against a real server: every planned request is asked once, and its fate is written down."""

import asyncio
import json

import pytest
from structlog.testing import capture_logs

from bench.load.__main__ import main
from bench.load.drive import drive
from bench.load.traffic import Arrival, Text, Traffic, arrivals
from tests.fixtures.fake_engine import STARTED
from tests.fixtures.server_thread import server_thread
from voxswap_client import AsyncClient
from voxswap_client.retry import NO_RETRY
from voxswap_server.errors import Overloaded

HELLO = Text("short", "Hello there.")


@pytest.fixture
def server():
    with capture_logs(), server_thread() as server:
        yield server


async def test_every_arrival_has_an_outcome(server):
    plan = list(arrivals(Traffic(50, 0.5, seed=3), ("narrator", "slate")))
    async with AsyncClient(server.address, retry=NO_RETRY) as client:
        outcomes = await drive(client, plan, timeout_s=30)
    assert [one.voice_id for one in outcomes] == [arrival.voice_id for arrival in plan]
    assert {one.code for one in outcomes} == {"OK"}
    for arrival, one in zip(plan, outcomes, strict=True):
        assert one.audio_s > 0
        assert one.ttfa_s is not None
        assert 0 <= one.late_s <= one.ttfa_s <= one.total_s
        assert one.kind == arrival.text.kind


async def test_arrivals_do_not_wait_for_answers(server):
    """The first request never ends by itself; those after it are answered all the same."""
    server.synthesizer.endless.add("slate")
    plan = [Arrival(0.0, "slate", HELLO, 1), *(Arrival(0.01, "narrator", HELLO, seed) for seed in range(4))]
    async with AsyncClient(server.address, retry=NO_RETRY) as client:
        outcomes = await drive(client, plan, timeout_s=2)
    assert [one.code for one in outcomes] == ["DEADLINE_EXCEEDED", "OK", "OK", "OK", "OK"]


async def test_a_refusal_is_a_code_and_is_not_tried_again(server):
    server.synthesizer.failures[STARTED] = Overloaded("full", retry_after_s=0.01)
    async with AsyncClient(server.address, retry=NO_RETRY) as client:
        (outcome,) = await drive(client, [Arrival(0.0, "narrator", HELLO, 1)], timeout_s=5)
    assert (outcome.code, outcome.ttfa_s, outcome.audio_s) == ("RESOURCE_EXHAUSTED", None, 0.0)


def test_the_command_prints_a_row_and_writes_json(server, tmp_path, capsys):
    written = tmp_path / "load.json"
    command = f"--server {server.address} --rate 20 --seconds 0.5 --warm-up 0.1 --json {written}"
    assert asyncio.run(main(command.split())) == 0
    assert "| 20.00 |" in capsys.readouterr().out
    (run,) = json.loads(written.read_text("utf-8"))
    assert run["codes"] == {"OK": run["requests"]}


def test_a_search_ends_with_an_interval(server, capsys):
    command = f"--server {server.address} --rate 8 --seconds 0.3 --warm-up 0 --search --steps 1 --ceiling 16"
    assert asyncio.run(main(command.split())) == 0
    assert "requests a second hold" in capsys.readouterr().out
