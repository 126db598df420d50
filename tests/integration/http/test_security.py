"""The gateway over real TLS, and the addresses that it may have."""

import ssl

import httpx2
import pytest

from tests.fixtures.certificates import Authority
from voxswap_server.app import secured
from voxswap_server.errors import ConfigError
from voxswap_server.settings import Settings


@pytest.fixture
def authority(tmp_path):
    return Authority(tmp_path)


def trusting(authority, pair=None):
    context = ssl.create_default_context(cafile=str(authority.file))
    if pair is not None:
        context.load_cert_chain(pair.certificate, pair.private_key)
    return context


async def test_it_speaks_tls_to_those_who_trust_it(start, authority, tmp_path):
    async with start(tls=authority.server(), verify=trusting(authority)) as rig:
        assert rig.server.url.startswith("https://")
        assert (await rig.client.get("/v1/models")).status_code == 200
        (tmp_path / "others").mkdir()
        async with rig.connect(verify=trusting(Authority(tmp_path / "others"))) as stranger:
            with pytest.raises(httpx2.ConnectError):
                await stranger.get("/v1/models")


async def test_a_renewed_certificate_is_shown_without_a_restart(start, authority):
    serials = []

    async def ask(rig):
        async with rig.connect(verify=trusting(authority)) as client, client.stream("GET", "/v1/models") as answer:
            shown = answer.extensions["network_stream"].get_extra_info("ssl_object").getpeercert()
            serials.append(shown["serialNumber"])

    async with start(tls=authority.server(), verify=trusting(authority)) as rig:
        await ask(rig)
        await ask(rig)
        authority.sign("server", "127.0.0.1", "localhost")
        await ask(rig)
    assert serials[0] == serials[1] != serials[2]


async def test_mutual_tls_lets_nobody_in_without_a_certificate(start, authority, tmp_path):
    clients = Authority(tmp_path, "clients")
    pair = clients.sign("panel", "panel.studio")
    async with start(tls=authority.server(clients=clients), verify=trusting(authority, pair)) as rig:
        assert (await rig.client.get("/v1/models")).status_code == 200
        async with rig.connect(verify=trusting(authority)) as nobody:
            with pytest.raises(httpx2.TransportError):
                await nobody.get("/v1/models")


@pytest.mark.parametrize(
    ("http", "security", "says"),
    [
        ({"port": 0, "host": "0.0.0.0"}, {}, "http.host is '0.0.0.0'"),
        ({"wyoming": {"port": 0, "host": "0.0.0.0"}}, {}, "http.wyoming.host is '0.0.0.0'"),
        ({"wyoming": {"port": 0, "host": "0.0.0.0"}}, "tls", "http.wyoming.host is '0.0.0.0'"),
        ({"wyoming": {"port": 0}}, {"keys_file": "keys.toml"}, "which the Wyoming protocol cannot"),
    ],
)
def test_no_address_is_a_way_around(authority, http, security, says):
    if security == "tls":
        pair = authority.sign("server", "localhost")
        security = {"tls_certificate": pair.certificate, "tls_private_key": pair.private_key}
    with pytest.raises(ConfigError, match=says):
        secured(Settings(http=http, security=security, metrics={"enabled": False}))


@pytest.mark.parametrize(
    "http",
    [{}, {"port": 0}, {"host": "0.0.0.0"}, {"wyoming": {"host": "0.0.0.0"}}, {"port": 0, "wyoming": {"port": 0}}],
)
def test_what_is_off_or_near_needs_nothing(http):
    assert not secured(Settings(http=http, metrics={"enabled": False})).asks
