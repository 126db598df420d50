"""TLS and mutual TLS between the real client, the real server and the metrics: who gets through, who does not."""

import ssl
import urllib.error
import urllib.request

import pytest
from prometheus_client import CollectorRegistry

from tests.fixtures.certificates import Authority
from voxswap_client import NO_RETRY, Client, PermissionDenied, Unauthenticated, Unavailable
from voxswap_server.auth import Authenticator, Scope, TlsFiles, credentials_of
from voxswap_server.auth.keys import Certificate, Keys, create_key, formatted
from voxswap_server.errors import ConfigError
from voxswap_server.exposition import MetricsServer
from voxswap_server.metrics import Metrics


def voices(address, **how):
    with Client(address, retry=NO_RETRY, **how) as client:
        return [voice.voice_id for voice in client.list_voices()]


def test_a_server_with_a_certificate_speaks_to_those_who_trust_it(serve, authority, tmp_path):
    with serve(tls=authority.server()) as server:
        assert voices(server.address, tls=authority.trusting()) == ["narrator", "slate"]
        stranger = Authority(tmp_path, "stranger")
        with pytest.raises(Unavailable):
            voices(server.address, tls=stranger.trusting())
        with pytest.raises(Unavailable):
            voices(server.address)


def test_mutual_tls_lets_nobody_in_without_a_certificate_of_its_authority(serve, authority, tmp_path):
    clients, strangers = Authority(tmp_path, "clients"), Authority(tmp_path, "strangers")
    with serve(tls=authority.server(clients=clients)) as server:
        assert voices(server.address, tls=authority.trusting(clients.sign("panel", "panel.studio")))
        for pair in (None, strangers.sign("stranger", "panel.studio")):
            with pytest.raises(Unavailable):
                voices(server.address, tls=authority.trusting(pair))


def test_a_client_certificate_can_stand_for_a_key(serve, authority, tmp_path, keys_file):
    clients = Authority(tmp_path, "clients")
    mixer = Certificate(name="mixer.studio", scopes=frozenset({Scope.SPEAK}))
    keys_file.write_text(formatted(Keys(certificates=(mixer,))))
    key = create_key(keys_file, "panel", [Scope.ADMIN])
    with serve(authenticator=Authenticator(keys_file), tls=authority.server(clients=clients)) as server:
        known = authority.trusting(clients.sign("mixer", "mixer.studio"))
        other = authority.trusting(clients.sign("other", "other.studio"))
        assert voices(server.address, tls=known)
        with pytest.raises(Unauthenticated):
            voices(server.address, tls=other)
        with Client(server.address, tls=known, retry=NO_RETRY) as client, pytest.raises(PermissionDenied):
            client.load_voice("narrator")
        with Client(server.address, tls=other, api_key=key, retry=NO_RETRY) as client:
            assert client.load_voice("narrator").voice_id == "narrator"


def test_a_renewed_certificate_is_shown_without_a_restart(serve, authority, tmp_path):
    with serve(tls=authority.server()) as server:
        assert voices(server.address, tls=authority.trusting())
        renewed = Authority(tmp_path, "renewed")
        renewed.server()  # over the same files
        assert voices(server.address, tls=renewed.trusting())
        with pytest.raises(Unavailable):
            voices(server.address, tls=authority.trusting())


def test_files_that_are_no_certificate_stop_the_start(authority, tmp_path):
    tls = authority.server()
    other = authority.sign("other", "localhost")
    for bad in (
        TlsFiles(tmp_path / "none.pem", tls.private_key),
        TlsFiles(tls.private_key, tls.private_key),
        TlsFiles(tls.certificate, other.private_key),
        TlsFiles(tls.certificate, tls.private_key, tls.private_key),
    ):
        with pytest.raises(ConfigError):
            bad.context()


# The metrics have the same certificate, and ask for a scope of their own.


@pytest.fixture
def scraped():
    """Status and body of a scrape."""

    def scraped(server, authority, *, key="", pair=None):
        context = ssl.create_default_context(cafile=authority.file)
        if pair:
            context.load_cert_chain(pair.certificate, pair.private_key)
        headers = {"Authorization": f"Bearer {key}"} if key else {}
        asking = urllib.request.Request(server.url, headers=headers)
        try:
            with urllib.request.urlopen(asking, timeout=10, context=context) as answer:
                return answer.status, answer.read().decode()
        except urllib.error.HTTPError as refused:
            with refused:
                return refused.code, refused.read().decode()

    return scraped


def metrics_server(authenticator, tls):
    registry = CollectorRegistry()
    Metrics(registry)
    admit = lambda headers: authenticator.authorize(credentials_of(headers), Scope.METRICS)  # noqa: E731
    return MetricsServer(registry, "127.0.0.1", 0, admit=admit, tls=tls.context())


def test_metrics_ask_for_their_scope_and_speak_tls(authority, keys_file, key, scraped):
    reader, speaker = key("metrics"), key("speak")
    with metrics_server(Authenticator(keys_file), authority.server()) as server:
        assert server.url.startswith("https://")
        status, body = scraped(server, authority, key=reader)
        assert (status, "voxswap_requests_running" in body) == (200, True)
        assert scraped(server, authority) == (
            401,
            "this server asks for an API key: send 'authorization: Bearer KEY'\n",
        )
        assert scraped(server, authority, key="voxswap_guess")[0] == 401
        assert scraped(server, authority, key=speaker) == (403, "'key-speak' may speak; this needs metrics\n")


def test_metrics_renew_their_certificate_and_ask_for_one(authority, tmp_path, scraped):
    clients = Authority(tmp_path, "clients")
    with metrics_server(Authenticator(), authority.server(clients=clients)) as server:
        panel = clients.sign("panel", "panel.studio")
        assert scraped(server, authority, pair=panel)[0] == 200
        with pytest.raises((ssl.SSLError, OSError)):
            scraped(server, authority)
        renewed = Authority(tmp_path, "renewed")
        renewed.server()
        assert scraped(server, renewed, pair=panel)[0] == 200
        with pytest.raises(urllib.error.URLError, match="CERTIFICATE_VERIFY_FAILED"):
            scraped(server, authority, pair=panel)
