"""The commands: keys are made, listed and revoked; clients show keys and certificates; unsafe addresses are refused."""

import re

import pytest
from typer.testing import CliRunner

from tests.fixtures.certificates import Authority
from voxswap_server.auth import Authenticator, Credentials, Scope
from voxswap_server.cli.main import app


@pytest.fixture
def run():
    def run(*words, **environment):
        return CliRunner().invoke(app, [str(word) for word in words], env=environment)

    return run


def test_a_key_is_printed_once_listed_by_name_and_revoked(run, keys_file):
    made = run("keys", "create", "stream-deck", "--scope", "speak", "--scope", "voices", "--file", keys_file)
    assert made.exit_code == 0, made.stderr
    secret = made.stdout.strip()
    assert Authenticator(keys_file).authorize(Credentials(secret), Scope.VOICES).name == "stream-deck"
    listed = run("keys", "list", "--file", keys_file)
    assert re.search(r"stream-deck +key +speak, voices +\d{4}-", listed.stdout)
    assert secret not in listed.stdout + made.stderr
    assert run("keys", "revoke", "stream-deck", "--file", keys_file).stdout == "revoked stream-deck\n"
    assert "nobody may do anything" in run("keys", "list", "--file", keys_file).stdout


def test_the_file_of_the_settings_is_the_default(run, keys_file, tmp_path):
    settings = tmp_path / "voxswap.toml"
    settings.write_text(f'[security]\nkeys_file = "{keys_file}"\n')
    assert run("keys", "create", "panel", "--scope", "speak", "--config", settings).exit_code == 0
    assert keys_file.is_file()
    settings.write_text("")
    refused = run("keys", "list", "--config", settings)
    assert (refused.exit_code, "--file" in refused.stderr) == (2, True)


@pytest.mark.parametrize(
    ("words", "why"),
    [
        (("create", "panel", "--scope", "sing"), "scopes: speak, voices, admin, metrics"),
        (("create", "two words", "--scope", "speak"), "name"),
        (("revoke", "ghost"), "no key 'ghost'"),
        (("list",), "cannot be read"),
    ],
)
def test_what_cannot_be_is_told_in_one_line(run, keys_file, words, why):
    refused = run("keys", *words, "--file", keys_file)
    assert (refused.exit_code, refused.stdout) == (2, "")
    assert why in refused.stderr
    assert refused.stderr.count("\n") == 1


@pytest.mark.parametrize(
    ("address", "more"),
    [("0.0.0.0:0", ()), ("[::]:0", ()), ("127.0.0.1:0", ("--tls-cert", "server.pem"))],
)
def test_an_unsafe_server_does_not_start(run, tmp_path, address, more):
    refused = run("serve", "--store", tmp_path, "--address", address, *more)
    assert (refused.exit_code, refused.stdout) == (2, "")
    assert "security.tls_private_key" in refused.stderr


def test_check_config_refuses_and_warns_of_the_same(run, tmp_path, authority):
    settings = tmp_path / "voxswap.toml"
    public = f'store = "{tmp_path}"\n[rpc]\naddress = "0.0.0.0:50051"\n[security]\n'
    settings.write_text(public)
    refused = run("check-config", "--config", settings)
    assert (refused.exit_code, "--insecure-public" in refused.stderr) == (2, True)
    pair = authority.sign("server", "localhost")
    settings.write_text(f'{public}tls_certificate = "{pair.certificate}"\ntls_private_key = "{pair.private_key}"\n')
    warned = run("check-config", "--config", settings)
    assert warned.exit_code == 0
    assert "rpc.address is '0.0.0.0:50051': whoever reaches it may do everything" in warned.stderr
    assert "TLS, no keys asked for" in warned.stdout


def test_a_client_shows_a_key_and_a_certificate(run, serve, authority, tmp_path, keys_file, key):
    clients = Authority(tmp_path, "clients")
    pair = clients.sign("panel", "panel.studio")
    one = key("speak")
    tls = authority.server(clients=clients)
    with serve(authenticator=Authenticator(keys_file), tls=tls) as server:
        there = ("--address", server.address, "--tls-ca", authority.file)
        mutual = (*there, "--tls-cert", pair.certificate, "--tls-key", pair.private_key)
        assert "narrator" in run("voices", "list", *mutual, "--api-key", one).stdout
        environment = {
            "VOXSWAP_ADDRESS": server.address,
            "VOXSWAP_API_KEY": one,
            "VOXSWAP_TLS_CA": str(authority.file),
            "VOXSWAP_TLS_CERT": str(pair.certificate),
            "VOXSWAP_TLS_KEY": str(pair.private_key),
        }
        assert "narrator" in run("voices", **environment).stdout
        named = run("voices", "--address", server.address, "--tls-name", "elsewhere", **environment)
        assert (named.exit_code, f"answers at {server.address}" in named.stderr) == (3, True)
        for words, code, why in (
            (("voices", *mutual), 2, "asks for an API key"),
            (("residents", "load", "narrator", *mutual, "--api-key", one), 2, "needs admin"),
            (("voices", *there, "--api-key", one), 3, "no voxswap server answers"),
            (("voices", *there, "--tls-cert", pair.certificate), 2, "go together"),
            (("voices", "--address", server.address, "--tls", "--api-key", one), 3, "no voxswap server answers"),
        ):
            refused = run(*words)
            assert (refused.exit_code, why in refused.stderr) == (code, True), (words, refused.stderr)
