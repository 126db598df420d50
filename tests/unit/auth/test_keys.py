"""The keys file: what is kept, what is refused, what is never in it."""

import stat
from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from voxswap_server.auth.keys import (
    EVERY_SCOPE,
    Certificate,
    Key,
    Keys,
    Scope,
    create_key,
    formatted,
    hashed,
    parse,
    read_keys,
    revoke_key,
)
from voxswap_server.errors import ConfigError

HASH = "a" * 64
ENTRY = f'[[keys]]\nname = "panel"\nscopes = ["speak"]\nsha256 = "{HASH}"\ncreated = 2026-11-21T08:00:00Z\n'


@pytest.fixture
def path(tmp_path):
    return tmp_path / "secrets" / "keys.toml"


def test_a_key_is_shown_once_and_only_its_hash_is_kept(path):
    secret = create_key(path, "panel", {Scope.SPEAK, Scope.VOICES})
    (key,) = read_keys(path).keys
    assert (key.name, key.scopes, key.sha256) == ("panel", {Scope.SPEAK, Scope.VOICES}, hashed(secret))
    assert secret not in path.read_text()
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert [file.name for file in path.parent.iterdir()] == ["keys.toml"]


def test_keys_are_long_and_never_the_same(path):
    secrets = {create_key(path, f"key-{number}", {Scope.SPEAK}) for number in range(20)}
    assert len(secrets) == 20
    # 32 bytes in base 64 without padding, after the prefix.
    assert {len(secret.removeprefix("voxswap_")) for secret in secrets} == {43}


def test_revoking_takes_one_key_away(path):
    create_key(path, "first", {Scope.SPEAK})
    create_key(path, "second", {Scope.ADMIN})
    revoke_key(path, "first")
    assert [key.name for key in read_keys(path).keys] == ["second"]
    with pytest.raises(ConfigError, match=r"no key 'first'; keys: second"):
        revoke_key(path, "first")


@pytest.mark.parametrize(
    ("name", "scopes", "why"),
    [
        ("panel", {Scope.SPEAK}, "already"),
        ("", {Scope.SPEAK}, "name"),
        ("two words", {Scope.SPEAK}, "name"),
        ("x" * 65, {Scope.SPEAK}, "name"),
        ("none", set(), "scopes"),
    ],
)
def test_what_is_no_key_is_not_made(path, name, scopes, why):
    create_key(path, "panel", {Scope.SPEAK})
    before = path.read_bytes()
    with pytest.raises(ConfigError, match=why):
        create_key(path, name, scopes)
    assert path.read_bytes() == before


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("[[keys]\n", "not TOML"),
        ('keys = "panel"', "keys: "),
        ("[[key]]\n", "key: "),
        ('[[keys]]\nname = "panel"\n', r"keys\.0\.scopes"),
        (ENTRY.replace("speak", "sing"), r"'speak', 'voices', 'admin' or 'metrics'"),
        (ENTRY.replace('["speak"]', "[]"), r"keys\.0\.scopes"),
        (ENTRY.replace(HASH, "voxswap_secret"), r"keys\.0\.sha256"),
        (ENTRY.replace(HASH, HASH.upper()), r"keys\.0\.sha256"),
        (ENTRY + 'secret = "x"\n', r"keys\.0\.secret"),
        (ENTRY + ENTRY, "'panel' is there twice"),
        ('[[certificates]]\nname = ""\nscopes = ["speak"]\n', r"certificates\.0\.name"),
    ],
)
def test_a_file_that_is_wrong_is_refused_with_the_place(text, why):
    with pytest.raises(ConfigError, match=why):
        parse(text)


def test_a_file_that_is_not_there_or_no_text_is_refused(tmp_path):
    with pytest.raises(ConfigError, match="cannot be read"):
        read_keys(tmp_path / "none.toml")
    (tmp_path / "noise.toml").write_bytes(b"\xff\xfe")
    with pytest.raises(ConfigError, match="cannot be read"):
        read_keys(tmp_path / "noise.toml")


names = st.from_regex(r"[A-Za-z0-9][A-Za-z0-9._@-]{0,63}", fullmatch=True)
scopes = st.frozensets(st.sampled_from(sorted(EVERY_SCOPE)), min_size=1)
moments = st.datetimes(datetime(2020, 1, 1), datetime(2100, 1, 1), timezones=st.just(UTC))  # noqa: DTZ001 - has one
keys = st.builds(
    Key, name=names, scopes=scopes, sha256=st.text("0123456789abcdef", min_size=64, max_size=64), created=moments
)
certificates = st.builds(Certificate, name=st.text(min_size=1, max_size=20), scopes=scopes)


@given(
    st.lists(keys, max_size=4, unique_by=lambda key: key.name),
    st.lists(certificates, max_size=3, unique_by=lambda one: one.name),
)
def test_what_is_written_is_read(some_keys, some_certificates):
    written = Keys(keys=tuple(some_keys), certificates=tuple(some_certificates))
    assert parse(formatted(written)) == written
