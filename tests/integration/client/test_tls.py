"""TLS, with the certificate in a file or in hand, and with none that fits."""

import re
from concurrent.futures import ThreadPoolExecutor

import grpc
import pytest
from grpc_health.v1 import health, health_pb2_grpc
from typer.testing import CliRunner

from tests.fixtures.tls import CERTIFICATE, NAME, PRIVATE_KEY
from voxswap_client import NO_RETRY, AsyncClient, Client, Tls, Unavailable
from voxswap_server.cli.main import app

TRUSTED = Tls(root_certificates=CERTIFICATE, server_name=NAME)


@pytest.fixture
def address():
    """Of a server that speaks TLS only, and wants to know who calls."""
    with ThreadPoolExecutor(2) as pool:
        server = grpc.server(pool)
        health_pb2_grpc.add_HealthServicer_to_server(health.HealthServicer(), server)
        credentials = grpc.ssl_server_credentials([(PRIVATE_KEY, CERTIFICATE)], CERTIFICATE, require_client_auth=False)
        port = server.add_secure_port("127.0.0.1:0", credentials)
        server.start()
        yield f"127.0.0.1:{port}"
        server.stop(None).wait()


def test_a_trusted_server(address):
    with Client(address, tls=TRUSTED) as client:
        assert client.health().serving


async def test_a_trusted_server_from_asyncio_and_a_client_with_a_key(address):
    mutual = Tls(CERTIFICATE, PRIVATE_KEY, CERTIFICATE, NAME)
    async with AsyncClient(address, tls=mutual) as client:
        assert (await client.health()).serving


@pytest.mark.parametrize(
    ("host", "tls"),
    [("127.0.0.1", None), ("127.0.0.1", Tls()), ("localhost", Tls(CERTIFICATE))],
    ids=["plain", "unknown signer", "wrong name"],
)
def test_what_does_not_fit_is_refused(address, host, tls):
    elsewhere = address.replace("127.0.0.1", host)
    with Client(elsewhere, tls=tls, retry=NO_RETRY) as client, pytest.raises(Unavailable):
        client.health()


def test_commands_trust_the_file_that_they_are_given(address, tmp_path):
    roots = tmp_path / "ca.pem"
    roots.write_bytes(CERTIFICATE)
    done = CliRunner().invoke(app, ["health", "--address", address, "--tls-ca", str(roots)])
    # The server of this test has no voxswap services, which is as good as saying that it was reached.
    assert re.search(r"server +serving", done.stdout)
    assert "service_unknown" in done.stdout
    plain = CliRunner().invoke(app, ["health", "--address", address])
    assert (plain.exit_code, "no voxswap server answers" in plain.stderr) == (3, True)
    missing = CliRunner().invoke(app, ["health", "--address", address, "--tls-ca", "none.pem"])
    assert (missing.exit_code, "none.pem" in missing.stderr) == (2, True)
