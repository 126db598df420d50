"""Who is let in, and how the keys change while the server runs."""

import asyncio

import pytest
import structlog
from structlog.testing import capture_logs

from voxswap_server.auth import EVERY_SCOPE, Authenticator, Credentials, Scope, credentials_of
from voxswap_server.auth.authenticator import _concerns
from voxswap_server.auth.keys import Certificate, Keys, create_key, formatted, read_keys, revoke_key
from voxswap_server.errors import ConfigError, PermissionDenied, Unauthenticated


@pytest.fixture
def path(tmp_path):
    return tmp_path / "keys.toml"


def may(authenticator, key, *scopes):
    try:
        authenticator.authorize(Credentials(key), *scopes)
    except (Unauthenticated, PermissionDenied) as error:
        return type(error)
    return True


def test_without_a_keys_file_everyone_may_do_everything():
    principal = Authenticator().authorize(Credentials(), Scope.ADMIN)
    assert (principal.name, principal.scopes) == ("anonymous", EVERY_SCOPE)


def test_a_key_opens_what_its_scopes_say(path):
    key = create_key(path, "panel", {Scope.SPEAK, Scope.METRICS})
    authenticator = Authenticator(path)
    assert authenticator.authorize(Credentials(key), Scope.SPEAK).name == "panel"
    assert may(authenticator, key, Scope.ADMIN, Scope.METRICS) is True
    assert may(authenticator, key) is True
    assert may(authenticator, key, Scope.ADMIN) is PermissionDenied
    with pytest.raises(PermissionDenied, match=r"'panel' may metrics, speak; this needs voices or admin"):
        authenticator.authorize(Credentials(key), Scope.VOICES, Scope.ADMIN)


@pytest.mark.parametrize("wrong", ["", "x", "voxswap_", "{key} ", "{key}x", "é" * 43])
def test_what_is_not_the_key_is_not_let_in(path, wrong):
    key = create_key(path, "panel", {Scope.SPEAK})
    assert may(Authenticator(path), wrong.format(key=key), Scope.SPEAK) is Unauthenticated


def test_no_message_and_no_print_repeats_a_key(path):
    key = create_key(path, "panel", {Scope.SPEAK})
    shown = Credentials(key + "typo")
    with pytest.raises(Unauthenticated) as caught:
        Authenticator(path).authorize(shown, Scope.SPEAK)
    assert key not in str(caught.value)
    assert key not in repr(shown)


def test_an_empty_file_lets_nobody_in(path):
    path.write_text("")
    assert may(Authenticator(path), "", Scope.SPEAK) is Unauthenticated


def test_a_certificate_that_is_named_needs_no_key(path):
    key = create_key(path, "panel", {Scope.SPEAK})
    keys = read_keys(path)
    certificate = Certificate(name="mixer.studio", scopes=frozenset({Scope.VOICES}))
    path.write_text(formatted(Keys(keys=keys.keys, certificates=(certificate,))))
    authenticator = Authenticator(path)
    assert authenticator.authorize(Credentials("", ("x", "mixer.studio")), Scope.VOICES).name == "mixer.studio"
    # A key that is given is what counts, and must be right.
    assert authenticator.authorize(Credentials(key, ("mixer.studio",)), Scope.SPEAK).name == "panel"
    with pytest.raises(Unauthenticated):
        authenticator.authorize(Credentials("wrong", ("mixer.studio",)), Scope.VOICES)
    with pytest.raises(Unauthenticated):
        authenticator.authorize(Credentials("", ("another.studio",)), Scope.VOICES)


def test_a_file_that_cannot_be_used_stops_the_start(path):
    with pytest.raises(ConfigError):
        Authenticator(path)


@pytest.mark.parametrize(
    ("headers", "key"),
    [
        ([("authorization", "Bearer k-1")], "k-1"),
        ([("Authorization", "bearer  k-1 ")], "k-1"),
        ([("x-api-key", "k-1")], "k-1"),
        ([("X-API-Key", "other"), ("authorization", "Bearer k-1")], "k-1"),
        ([("authorization", "Basic azo="), ("x-api-key", "k-1")], "k-1"),
        ([("authorization", "k-1")], ""),
        ([], ""),
    ],
)
def test_where_a_key_is_read_from(headers, key):
    assert credentials_of(headers, ["a.b"]) == Credentials(key, ("a.b",))


class Following:
    """An authenticator that follows its file; `until` waits until what is asked of it holds."""

    def __init__(self, path):
        self.authenticator = Authenticator(path)
        self._changed = asyncio.Event()
        self._task = asyncio.create_task(self.authenticator.follow(self._changed.set))

    async def until(self, holds):
        while not holds():
            await self._changed.wait()
            self._changed.clear()

    async def __aenter__(self):
        await asyncio.sleep(0)  # now it watches
        return self

    async def __aexit__(self, *_):
        self._task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await self._task


@pytest.fixture
def lines():
    with capture_logs() as lines:
        yield lines
    structlog.reset_defaults()


async def test_keys_are_rotated_without_a_restart(path, lines):
    old = create_key(path, "panel-1", {Scope.SPEAK})
    async with Following(path) as running:
        authenticator = running.authenticator
        new = await asyncio.to_thread(create_key, path, "panel-2", {Scope.SPEAK})
        await running.until(lambda: may(authenticator, new, Scope.SPEAK) is True)
        assert may(authenticator, old, Scope.SPEAK) is True
        await asyncio.to_thread(revoke_key, path, "panel-1")
        await running.until(lambda: may(authenticator, old, Scope.SPEAK) is Unauthenticated)
        assert may(authenticator, new, Scope.SPEAK) is True
    assert [line["keys"] for line in lines if line.get("action") == "keys reloaded"] == [2, 1]
    assert old not in str(lines)


async def test_a_file_that_became_unusable_leaves_the_last_good_keys(path, lines):
    key = create_key(path, "panel", {Scope.SPEAK})
    good = path.read_text()
    async with Following(path) as running:
        path.write_text("[[keys]\n")
        # The next good content is heard of, so the bad one before it was too, or was never seen: both are well.
        path.with_name("aside").write_text(good.replace("panel", "renamed"))
        path.with_name("aside").replace(path)
        name = lambda: running.authenticator.authorize(Credentials(key), Scope.SPEAK).name  # noqa: E731
        await running.until(lambda: name() == "renamed")


async def test_what_else_happens_in_the_folder_is_no_change(path, lines):
    key = create_key(path, "panel", {Scope.SPEAK})
    async with Following(path) as running:
        for number in range(20):
            path.with_name("server.log").write_text(f"line {number}")
        path.with_name("aside").write_text(path.read_text().replace("panel", "renamed"))
        path.with_name("aside").replace(path)
        await running.until(lambda: running.authenticator.authorize(Credentials(key), Scope.SPEAK).name == "renamed")
    assert [line["event"] for line in lines] == ["audit"]


def test_only_the_file_and_links_of_mounted_secrets_concern():
    names = {"keys.toml": True, "..data": True, "..2026_11_21": True, "server.log": False, ".keys.toml.1f": False}
    for name, concerns in names.items():
        assert _concerns("keys.toml", None, f"/run/secrets/{name}") is concerns


def test_a_bad_reload_is_told_and_changes_nothing(path, lines):
    key = create_key(path, "panel", {Scope.SPEAK})
    authenticator = Authenticator(path)
    path.write_text("[[keys]\n")
    assert authenticator._reload(path) is False
    path.unlink()
    assert authenticator._reload(path) is False
    assert may(authenticator, key, Scope.SPEAK) is True
    assert [line["event"] for line in lines] == ["keys not reloaded"] * 2


async def test_a_link_that_is_turned_elsewhere_counts_as_a_change(tmp_path, lines):
    """As orchestrators mount secrets: a link to a folder beside it, replaced in one step."""
    for version in ("v1", "v2"):
        (tmp_path / version).mkdir()
    create_key(tmp_path / "v1" / "keys.toml", "panel", {Scope.SPEAK})
    new = create_key(tmp_path / "v2" / "keys.toml", "panel", {Scope.SPEAK})
    (tmp_path / "..data").symlink_to("v1")
    (tmp_path / "keys.toml").symlink_to("..data/keys.toml")
    async with Following(tmp_path / "keys.toml") as running:
        (tmp_path / "..new").symlink_to("v2")
        (tmp_path / "..new").replace(tmp_path / "..data")
        await running.until(lambda: may(running.authenticator, new, Scope.SPEAK) is True)
