"""Old paths, languages, remembered choices and references."""

from pathlib import Path
from types import SimpleNamespace

import pytest

from voxswap_server.auth import EVERY_SCOPE, Principal
from voxswap_server.errors import Overloaded, RequestError
from voxswap_server.http.api_v2.clients import CLIENTS_OF_A_CALLER, NOTHING, Clients
from voxswap_server.http.api_v2.config import ApiV2Config
from voxswap_server.http.api_v2.parameters import CUTS, LANGUAGES
from voxswap_server.http.api_v2.paths import find, listed, plain
from voxswap_server.http.api_v2.references import References, UnknownReference
from voxswap_server.http.calls import Call
from voxswap_server.text.languages import UPSTREAM_CODES, upstream_code

TABLE = {"GPT_weights/a.ckpt": "any", "new/GPT_weights/a.ckpt": "newer"}


@pytest.mark.parametrize(
    ("path", "target"),
    [
        ("GPT_weights/a.ckpt", "any"),
        ("./GPT_weights//a.ckpt", "any"),
        ("C:\\tts\\GPT_weights\\a.ckpt", "any"),
        ("/srv/new/GPT_weights/a.ckpt", "newer"),
        ("/srv/renew/GPT_weights/a.ckpt", "any"),
        ("a.ckpt", None),
        ("MY_GPT_weights/a.ckpt", None),
        ("GPT_weights/a.ckpt/more", None),
        ("", None),
    ],
)
def test_a_path_is_known_by_its_end(path, target):
    assert find(TABLE, path) == target


def test_paths_are_compared_as_they_are_written():
    assert plain("a/../b") == "a/../b"  # nothing is resolved: nothing is opened


def test_a_long_list_is_cut():
    assert listed([]) == "none"
    assert listed(["b", "a"]) == "a, b"
    assert listed([f"{number:02}" for number in range(20)]).endswith("07 and 12 more")


def test_the_languages_are_upstreams_eleven():
    assert set(LANGUAGES) == set(UPSTREAM_CODES.values())
    for code, language in LANGUAGES.items():
        assert upstream_code(language, "v2") == code


def test_the_cuts_are_upstreams_six():
    assert list(CUTS) == [f"cut{number}" for number in range(6)]
    assert len(set(CUTS.values())) == 6


class Clock:
    now_s = 0.0

    def __call__(self):
        return self.now_s


def call(address="1.1.1.1", client="", cookie="", key=""):
    connection = SimpleNamespace(
        headers={"x-client-id": client} if client else {},
        cookies={"voxswap_client": cookie} if cookie else {},
        client=SimpleNamespace(host=address),
    )
    principal = Principal(key, EVERY_SCOPE) if key else None
    return Call("GET /tts", connection, "r", "t", 0.0, principal=principal)


def test_choices_are_a_clients_own():
    clients = Clients(ApiV2Config(), Clock())
    clients.choose(call(), t2s_voice="a")
    clients.choose(call(), sovits_voice="b")
    chosen = clients.chosen(call())
    assert (chosen.t2s_voice, chosen.sovits_voice) == ("a", "b")
    for other in (call("2.2.2.2"), call(client="x"), call(cookie="x"), call(key="k")):
        assert clients.chosen(other) is NOTHING
    clients.choose(call(client="x"), t2s_voice="c")
    assert clients.chosen(call(cookie="x")).t2s_voice == "c"
    clients.forget(call())
    assert clients.chosen(call()) is NOTHING
    assert clients.chosen(call(client="x")).t2s_voice == "c"


def test_a_key_is_not_an_address():
    clients = Clients(ApiV2Config(), Clock())
    clients.choose(call("1.1.1.1", key="k"), t2s_voice="a")
    assert clients.chosen(call("9.9.9.9", key="k")).t2s_voice == "a"


def test_choices_are_forgotten_some_time_after_their_last_use():
    clock = Clock()
    clients = Clients(ApiV2Config(client_ttl_s=10), clock)
    clients.choose(call(), t2s_voice="a")
    for _ in range(3):
        clock.now_s += 8
        assert clients.chosen(call()).t2s_voice == "a"
    clock.now_s += 11
    assert clients.chosen(call()) is NOTHING


def test_a_caller_with_many_names_pushes_out_nobody_but_itself():
    clients = Clients(ApiV2Config(max_clients=2), Clock())
    clients.choose(call("2.2.2.2"), t2s_voice="b")
    for number in range(CLIENTS_OF_A_CALLER + 1):
        clients.choose(call(client=str(number)), t2s_voice="a")
    assert clients.chosen(call("2.2.2.2")).t2s_voice == "b"
    assert clients.chosen(call(client="0")) is NOTHING
    assert clients.chosen(call(client="1")).t2s_voice == "a"


@pytest.fixture
def clock():
    return Clock()


@pytest.fixture
def references(clock):
    config = ApiV2Config(max_reference_bytes=10, max_uploads=2, max_upload_bytes=25, client_ttl_s=10)
    return References(config, clock)


async def test_an_upload_is_kept_for_its_caller_for_a_while(references, clock):
    name = references.keep("ann", b"audio")
    assert references.keep("ann", b"audio") == name
    assert await references.audio("ann", name, "ref") == b"audio"
    with pytest.raises(UnknownReference):
        await references.audio("bob", name, "ref")
    clock.now_s += 11
    with pytest.raises(UnknownReference):
        await references.audio("ann", name, "ref")


async def test_a_caller_pushes_out_its_own_oldest_and_nobody_elses(references):
    first = references.keep("ann", b"0123456789")
    for audio in (b"1", b"2"):
        references.keep("ann", audio)
    with pytest.raises(UnknownReference):
        await references.audio("ann", first, "ref")
    for caller in ("bob", "cat"):
        references.keep(caller, b"0123456789")
    with pytest.raises(Overloaded):
        references.keep("dan", b"0123456789")
    assert await references.audio("ann", references.keep("ann", b"1"), "ref") == b"1"


@pytest.mark.parametrize("audio", [b"", b"0123456789a"])
def test_an_upload_has_a_length(references, audio):
    with pytest.raises(RequestError):
        references.keep("ann", audio)


async def test_no_path_of_a_client_is_opened(references, tmp_path):
    (tmp_path / "there.wav").write_bytes(b"audio")
    for path in (str(tmp_path / "there.wav"), f"file://{tmp_path / 'there.wav'}", str(Path(__file__))):
        with pytest.raises(UnknownReference):
            await references.audio("ann", path, "ref")
