"""What may be bound where, and which settings of TLS go together."""

from pathlib import Path

import pytest

from voxswap_server.auth import SecurityConfig, TlsFiles, require_safe_bind
from voxswap_server.auth.config import is_public
from voxswap_server.errors import ConfigError

CERTIFICATE, KEY = Path("server.pem"), Path("server.key")


@pytest.mark.parametrize(
    "address",
    [
        "127.0.0.1:50051",
        "127.8.9.1:0",
        "localhost:50051",
        "[::1]:50051",
        "::1",
        "127.0.0.1",
        "localhost",
        "unix:/run/vox",
    ],
)
def test_this_machine_alone(address):
    assert not is_public(address)
    require_safe_bind("rpc.address", address, SecurityConfig())


@pytest.mark.parametrize(
    "address",
    ["0.0.0.0:50051", "[::]:50051", "::", "0.0.0.0", "", ":50051", "10.0.0.7:1", "[fe80::1]:1", "voice.example:443"],
)
def test_others_reach_it(address):
    assert is_public(address)
    with pytest.raises(ConfigError, match=r"rpc\.address.*security\.tls_certificate.*--insecure-public"):
        require_safe_bind("rpc.address", address, SecurityConfig())
    require_safe_bind("rpc.address", address, SecurityConfig(insecure_public=True))
    require_safe_bind("rpc.address", address, SecurityConfig(tls_certificate=CERTIFICATE, tls_private_key=KEY))


def test_tls_is_whole_or_not_there():
    assert SecurityConfig().tls is None
    assert SecurityConfig(tls_certificate=CERTIFICATE, tls_private_key=KEY).tls == TlsFiles(CERTIFICATE, KEY)
    for half in ({"tls_certificate": CERTIFICATE}, {"tls_private_key": KEY}, {"tls_client_ca": CERTIFICATE}):
        with pytest.raises(ConfigError, match="needs both"):
            _ = SecurityConfig(**half).tls
