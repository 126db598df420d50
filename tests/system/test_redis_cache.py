"""The layer in a real Redis: two servers share what one of them made, and a Redis in any state fails nobody."""

import tempfile
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest
import typer
from prometheus_client import CollectorRegistry
from structlog.testing import capture_logs
from typer.testing import CliRunner

from tests.fixtures.cache_layers import Clock, Counted, key, same, value
from tests.fixtures.engines import asking, engine_over, hear
from tests.fixtures.redis_server import RedisServer
from voxswap_server.cli.serve import check_config
from voxswap_server.demo.tiny import tiny_prompt
from voxswap_server.engine import prompt_audio, prompt_encoding
from voxswap_server.engine.conditioning.lookups import Lookups
from voxswap_server.engine.conditioning.redis_store import connect
from voxswap_server.engine.conditioning.stored import StoredLayer
from voxswap_server.nn.hubert import ContentEncoder

pytestmark = pytest.mark.system

RETRY_S = 5.0


@pytest.fixture
def place() -> Iterator[Path]:
    """A short path: those of sockets must be."""
    with tempfile.TemporaryDirectory(prefix="vs") as directory:
        yield Path(directory)


@pytest.fixture
def redis(debian_binary: Callable[[str], str], place: Path) -> Iterator[RedisServer]:
    server = RedisServer(debian_binary("redis-server"), place)
    server.start()
    yield server
    server.stop()


class Layer:
    """A layer over a Redis, its counters, and a time that only the test moves."""

    def __init__(self, url: str, *, timeout_s: float = 10.0, ttl_s: float = 60.0) -> None:
        self.counted, self.clock = Counted(), Clock()
        store = connect(url, prefix="test", ttl_s=ttl_s, timeout_s=timeout_s)
        self.layer = StoredLayer(
            store, Lookups("redis", self.counted), timeout_s=timeout_s, retry_s=RETRY_S, clock=self.clock
        )

    def results(self) -> dict[str, int]:
        return {result: count for (_, result), count in self.counted.seen.items()}

    def probe(self) -> None:
        """Lets the time of the next probe come, and waits for its end."""
        self.clock.now_s += RETRY_S
        assert self.layer.get(key()) is None
        self.layer._probers.submit(lambda: None).result(timeout=30)


@pytest.fixture
def layer(redis: RedisServer) -> Iterator[Layer]:
    made = Layer(redis.url)
    yield made
    made.layer.close()


# --- two engines -----------------------------------------------------------------------------------------------------


def refuse_to_compute(monkeypatch: pytest.MonkeyPatch) -> None:
    """From here on whatever encodes reference audio fails the request."""

    def called(*_: object, **__: object) -> None:
        raise AssertionError("something was computed")

    for owner, name in (
        (ContentEncoder, "features"),
        (prompt_audio.Reference, "spectrum"),
        (prompt_audio.Reference, "speaker_vector"),
        (prompt_encoding, "encode_conditioning"),
        (prompt_encoding, "decode"),
    ):
        monkeypatch.setattr(owner, name, called)


def lookups(registry: CollectorRegistry, cache: str, result: str) -> float | None:
    return registry.get_sample_value("voxswap_cache_lookups_total", {"cache": cache, "result": result})


async def test_what_one_server_made_the_other_does_not_compute(
    redis: RedisServer, tiny_store: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    prompt = replace(tiny_prompt(99), auxiliary=(tiny_prompt(98).audio,))
    requests = [asking(voice, "Hello there.", prompt=prompt) for voice in ("amber", "coral")]
    cache = {"redis_url": redis.url, "redis_timeout_s": 10.0}
    async with engine_over(tiny_store, cache={"memory_bytes": 0}) as (engine, _):
        plain = [(await hear(engine.synthesizer, request)).data for request in requests]
    async with engine_over(tiny_store, cache=cache) as (engine, _):
        first = [(await hear(engine.synthesizer, request)).data for request in requests]
    refuse_to_compute(monkeypatch)
    async with engine_over(tiny_store, cache=cache) as (engine, registry):
        second = [(await hear(engine.synthesizer, request)).data for request in requests]
        stats = await engine.residency.cache_stats()
    assert first == second == plain
    assert (lookups(registry, "prompts", "hit"), lookups(registry, "prompts", "miss")) == (2, None)
    assert lookups(registry, "prompts_redis", "hit") == stats.hits["prompts_redis"] == 4


async def test_broken_and_foreign_values_are_made_again_and_mended(redis: RedisServer, tiny_store: Path) -> None:
    request = asking("coral", "Hello there.", prompt=tiny_prompt(99))
    cache = {"redis_url": redis.url, "redis_timeout_s": 10.0}
    async with engine_over(tiny_store, cache=cache) as (engine, _):
        plain = (await hear(engine.synthesizer, request)).data
    client = redis.client()
    whole = {name: client.get(name) for name in client.scan_iter()}
    assert len(whole) == 4
    names = sorted(whole)
    client.set(names[0], whole[names[0]][:-1])
    client.set(names[1], whole[names[2]])
    client.set(names[2], b"")
    client.delete(names[3])
    client.rpush(names[3], "a list")
    async with engine_over(tiny_store, cache=cache) as (engine, registry):
        assert (await hear(engine.synthesizer, request)).data == plain
    assert lookups(registry, "prompts_redis", "corrupt") == 3  # to Redis an empty string is like none
    assert {name: client.get(name) for name in client.scan_iter()} == whole
    client.close()


async def test_a_redis_that_is_away_costs_one_line_and_no_request(place: Path, tiny_store: Path) -> None:
    request = asking("amber", "Hello there.", prompt=tiny_prompt(99))
    with capture_logs() as lines:
        async with engine_over(tiny_store, cache={"redis_url": f"unix://{place}/nobody.sock"}) as (engine, registry):
            answers = [(await hear(engine.synthesizer, request)).data for _ in range(2)]
    async with engine_over(tiny_store) as (engine, _):
        assert answers == [(await hear(engine.synthesizer, request)).data] * 2
    assert lookups(registry, "prompts_redis", "unavailable") == 3
    assert [line["problem"] for line in lines if line["event"] == "cache layer left alone"] == ["ConnectionError"]


# --- one layer -------------------------------------------------------------------------------------------------------


def test_entries_have_a_prefix_and_an_age(redis: RedisServer, layer: Layer) -> None:
    layer.layer.put(key(), value(3))
    assert same(layer.layer.get(key()), value(3))
    client = redis.client()
    (name,) = client.keys()
    assert name.decode() == f"test:1:{key().name}"
    assert 50_000 < client.pttl(name) <= 60_000
    for_ever = Layer(redis.url, ttl_s=0.0)
    for_ever.layer.put(key(1), value())
    for_ever.layer.close()
    assert client.pttl(f"test:1:{key(1).name}") == -1
    client.close()


def test_it_comes_back_after_it_was_away(redis: RedisServer, layer: Layer) -> None:
    layer.layer.put(key(1), value(1))
    redis.stop()
    with capture_logs() as lines:
        for _ in range(5):
            assert layer.layer.get(key(1)) is None
            layer.layer.put(key(1), value(1))
        layer.probe()
        assert layer.layer.get(key(1)) is None
        redis.start()
        layer.probe()
        assert layer.layer.get(key(1)) is None  # it forgot everything
        layer.layer.put(key(1), value(1))
        assert same(layer.layer.get(key(1)), value(1))
    assert [line["event"] for line in lines] == ["cache layer left alone", "cache layer is back"]
    assert layer.results() == {"unavailable": 8, "miss": 1, "hit": 1}


def test_one_that_hangs_is_left_alone_until_it_answers(redis: RedisServer) -> None:
    layer = Layer(redis.url, timeout_s=0.05)
    redis.freeze()
    try:
        with capture_logs() as lines:
            for number in range(20):
                assert layer.layer.get(key(number)) is None
            layer.probe()
            assert layer.layer.get(key()) is None
        assert [line["event"] for line in lines] == ["cache layer left alone"]
        assert layer.results() == {"unavailable": 22}
    finally:
        redis.thaw()
    layer.probe()
    layer.layer.put(key(), value())
    layer.layer.get(key())
    assert set(layer.results()) == {"unavailable", "hit"}
    layer.layer.close()


def test_one_that_is_full_is_read_still(redis: RedisServer, layer: Layer) -> None:
    layer.layer.put(key(1), value(1))
    client = redis.client()
    client.config_set("maxmemory", "1")
    client.config_set("maxmemory-policy", "noeviction")
    with capture_logs() as lines:
        for number in range(2, 6):
            layer.layer.put(key(number), value(number))
            assert same(layer.layer.get(key(1)), value(1))
    assert [(line["doing"], line["problem"]) for line in lines] == [("write", "OutOfMemoryError")]
    client.close()


def test_a_password_is_used_and_never_told(
    debian_binary: Callable[[str], str], place: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    server = RedisServer(debian_binary("redis-server"), place, "--requirepass", "s3cret")
    server.start()
    good, bad = (Layer(f"unix://:{word}@{server.socket}") for word in ("s3cret", "wr0ng"))
    try:
        good.layer.put(key(), value())
        assert same(good.layer.get(key()), value())
        with capture_logs() as lines:
            assert bad.layer.get(key()) is None
        assert [line["problem"] for line in lines] == ["AuthenticationError"]
        assert "wr0ng" not in str(lines) + capsys.readouterr().out
    finally:
        for one in (good, bad):
            one.layer.close()
        server.stop()


# --- check-config ----------------------------------------------------------------------------------------------------


def checked(tmp_path: Path, url: str) -> tuple[int, str]:
    file = tmp_path / "voxswap.toml"
    file.write_text(f'store = "{tmp_path}"\n[cache]\nredis_url = "{url}"\n', "utf-8")
    app = typer.Typer()
    app.command()(check_config)
    result = CliRunner().invoke(app, ["--config", str(file)])
    return result.exit_code, result.output


def test_check_config_tells_whether_it_answers(redis: RedisServer, tmp_path: Path) -> None:
    code, said = checked(tmp_path, redis.url)
    assert code == 0
    assert f"redis at unix://{redis.socket}" in said
    assert "cache layer" not in said
    redis.stop()
    code, said = checked(tmp_path, f"unix://:s3cret@{redis.socket}")
    assert code == 0
    assert "warning: cache layer redis cannot be used (ConnectionError)" in said
    assert "s3cret" not in said
