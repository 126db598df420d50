"""Settings of the conditioning cache: what is refused, what is told, and that no secret is."""

import sys
from pathlib import Path

import pytest
import typer
from prometheus_client import CollectorRegistry
from typer.testing import CliRunner

from voxswap_server.cli.serve import check_config
from voxswap_server.engine.conditioning import CacheConfig, describe, open_cache
from voxswap_server.errors import RequestError
from voxswap_server.metrics import Metrics
from voxswap_server.settings import BadSettings, load_settings

SECRET = "redis://admin:s3cret@cache.example:6380/2"


def written(tmp_path: Path, text: str) -> Path:
    file = tmp_path / "voxswap.toml"
    file.write_text(f'store = "{tmp_path}"\n[cache]\n{text}\n', "utf-8")
    return file


@pytest.mark.parametrize(
    ("text", "named"),
    [
        ("memory_bytes = -1", "memory_bytes is -1; it must be 0 or more"),
        ("memory_ttl_s = inf", "memory_ttl_s is inf"),
        ("disk_bytes = nan", "disk_bytes"),
        ("redis_timeout_s = 0.0", "redis_timeout_s is 0.0; it must be more than 0"),
        ("retry_s = -5.0", "retry_s is -5.0"),
        ('redis_url = "http://cache:6379"', "redis_url must begin with redis://, rediss://, unix://"),
        ('redis_url = "cache:6379"', "redis_url must begin with"),
        ("redis_uri = 1", "cache.redis_uri"),
    ],
)
def test_a_value_that_cannot_be_is_named(tmp_path: Path, text: str, named: str) -> None:
    with pytest.raises(BadSettings, match=named):
        load_settings(written(tmp_path, text))


def test_the_address_of_redis_may_come_from_the_environment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("VOXSWAP_CACHE__REDIS_URL", SECRET)
    settings = load_settings(written(tmp_path, 'directory = "cache"'))
    assert settings.cache.redis_url == SECRET
    assert settings.cache.directory == Path("cache")
    assert "s3cret" not in repr(settings)


def test_what_is_told_of_the_layers_has_no_secret() -> None:
    assert describe(CacheConfig()) == "memory 256 MiB"
    told = describe(CacheConfig(directory=Path("/var/cache/voxswap"), redis_url=SECRET))
    assert told == ("memory 256 MiB, disk 4096 MiB in /var/cache/voxswap, redis at redis://cache.example:6380/2")


def test_a_redis_without_its_package_stops_the_start(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "redis", None)
    with pytest.raises(RequestError, match=r"pip install voxswap\[redis\]") as refused:
        open_cache(CacheConfig(redis_url=SECRET), Metrics(CollectorRegistry()))
    assert "s3cret" not in str(refused.value)
    open_cache(CacheConfig(), Metrics(CollectorRegistry())).close(grace_s=1.0)


@pytest.mark.parametrize(
    "url", ["redis://cache:many/0", "redis://cache:6379/0?socket_timeout=often", "redis://:s3cret/s3cret@cache"]
)
def test_an_address_that_is_none_stops_the_start(url: str) -> None:
    with pytest.raises(RequestError, match=r"cache\.redis_url is no address"):
        open_cache(CacheConfig(redis_url=url), Metrics(CollectorRegistry()))


@pytest.mark.parametrize("url", ["redis://:s3cret/s3cret@cache", "redis://:12/s3cret@cache", SECRET])
def test_no_part_of_a_password_is_told_however_the_address_is_written(url: str) -> None:
    assert "s3cret" not in describe(CacheConfig(redis_url=url))
    try:
        open_cache(CacheConfig(redis_url=url), Metrics(CollectorRegistry())).close(grace_s=1.0)
    except RequestError as refused:
        assert "s3cret" not in str(refused)  # noqa: PT017 - whether it is refused does not matter here


def test_check_config_tells_of_a_directory_that_cannot_be_used(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    app = typer.Typer()
    app.command()(check_config)
    told = {}
    for name in ("file/cache", "good/cache"):
        file = written(tmp_path, f'directory = "{tmp_path / name}"')
        told[name] = CliRunner().invoke(app, ["--config", str(file)])
    assert [result.exit_code for result in told.values()] == [0, 0]
    assert "warning: cache layer disk cannot be used (NotADirectoryError)" in told["file/cache"].output
    assert "cache layer" not in told["good/cache"].output
    assert f"disk 4096 MiB in {tmp_path / 'good/cache'}" in told["good/cache"].output
