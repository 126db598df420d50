"""A real server behind real channels, fresh for each test."""

import pytest
from structlog.testing import capture_logs

from tests.fixtures.server_thread import server_thread
from voxswap_client import AsyncClient, Client


@pytest.fixture
def server():
    # The server's log would be in the output of the commands, which run in the same process here.
    with capture_logs(), server_thread() as server:
        yield server


@pytest.fixture
def client(server):
    with Client(server.address) as client:
        yield client


@pytest.fixture
async def aclient(server):
    async with AsyncClient(server.address) as client:
        yield client
