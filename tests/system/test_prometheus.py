"""Seen by a real Prometheus: a server is scraped, the rules compute, every panel of every dashboard has data."""

import asyncio
import json
import shutil
import subprocess
from contextlib import aclosing
from pathlib import Path

import pytest
import yaml

from tests.fixtures.certificates import Authority
from tests.fixtures.prometheus import prometheus, until
from voxswap_client import AsyncClient, AudioChunk, SpeechOptions, VoiceChanged, VoxswapError
from voxswap_server.app import running
from voxswap_server.auth.keys import create_key
from voxswap_server.demo.tiny import speech_clip
from voxswap_server.demo.tiny_ecapa import write_ecapa
from voxswap_server.settings import Settings
from voxswap_store.asset_importer import import_assets

DEPLOY = Path(__file__).parents[2] / "deploy"
BOARDS = sorted((DEPLOY / "grafana" / "dashboards").glob("*.json"))
OPTIONS = SpeechOptions(language_code="en")
TEXT = "Good morning to all of you. How are you today?"
GRAFANA = {"$__rate_interval": "30s", "$instance": ".+"}
"""What Grafana puts in the place of its variables."""

pytestmark = pytest.mark.system


def panels(board: Path) -> list[tuple[str, str]]:
    """(panel, query) of a dashboard, as Prometheus is asked."""
    found = []
    for panel in json.loads(board.read_text())["panels"]:
        for target in panel.get("targets", ()):
            query = target["expr"]
            for name, value in GRAFANA.items():
                query = query.replace(name, value)
            found.append((panel["title"], query))
    return found


@pytest.fixture
def store(tiny_store: Path, tmp_path: Path) -> Path:
    """With a speaker encoder, and a voice that is there but cannot be loaded."""
    root = Path(shutil.copytree(tiny_store, tmp_path / "store", ignore=shutil.ignore_patterns("tiny")))
    for weights in (root / "voices" / "onyx").rglob("*.safetensors"):
        weights.write_bytes(weights.read_bytes()[:-8])
    write_ecapa(tmp_path / "encoder", seed=0)
    import_assets(tmp_path / "encoder", root)
    return root


def settings_of(store: Path, **sections) -> Settings:
    usual = {
        "rpc": {"address": "127.0.0.1:0"},
        "metrics": {"port": 0},
        "device": {"name": "cpu", "threads": 1},
    }
    return Settings(store=store, **usual | sections)


async def say(client: AsyncClient, voice: str) -> None:
    async for _ in client.stream(TEXT, voice, OPTIONS):
        pass


async def change_voice(client: AsyncClient) -> None:
    """A live stream that changes its voice; its text is not at its end before that was heard."""
    async with client.live("amber", OPTIONS) as session:
        session.say("Good morning to all of you. ")
        session.flush()
        session.switch("slate")
        async for event in session:
            if isinstance(event, VoiceChanged):
                session.say("How are you today?")
                session.end()


async def traffic(client: AsyncClient) -> None:
    """A bit of everything that there are numbers of."""
    for voice in ("amber", "coral", "amber", "slate"):
        await say(client, voice)
    await asyncio.gather(*(say(client, voice) for voice in ("amber", "slate", "coral")))
    await change_voice(client)
    async with aclosing(client.stream(TEXT * 4, "amber", OPTIONS)) as stream:
        async for event in stream:
            if isinstance(event, AudioChunk):
                break  # the listener goes away
    with pytest.raises(VoxswapError):
        await client.load_voice("onyx")
    await client.compare_speakers(speech_clip(1), speech_clip(2))


def scrape_address(url: str) -> str:
    return url.removeprefix("http://").removesuffix("/metrics")


async def test_every_panel_of_every_dashboard_has_data(debian_binary, store, tmp_path):
    binary = debian_binary("prometheus")
    async with running(settings_of(store)) as server, AsyncClient(f"127.0.0.1:{server.rpc.port}") as client:
        one = await client.load_voice("amber")
    # Room for two voices of three: they push one another out.
    budget = {"device_budget_bytes": int(2.5 * (one.bytes_own + one.bytes_shared)), "min_resident_s": 0.0}
    async with (
        running(settings_of(store, residency=budget)) as server,
        AsyncClient(f"127.0.0.1:{server.rpc.port}") as client,
        prometheus(binary, tmp_path, scrape_address(server.metrics_url)) as watcher,
    ):
        await until(lambda: watcher.query('up{job="voxswap"} == 1'))
        # Rates need growth between two scrapes, so what is counted must have been seen before it grows.
        await traffic(client)
        await until(lambda: watcher.query("voxswap_cancel_to_release_seconds_count > 0"))
        await traffic(client)
        wanted = {(board.stem, title, query) for board in BOARDS for title, query in panels(board)}
        assert len(wanted) > 30

        async def lacking():
            return {one for one in wanted if not await watcher.query(one[2])}

        async def complete():
            return not await lacking()

        try:
            async with asyncio.timeout(60):
                await until(complete)
        except TimeoutError:
            assert await lacking() == set()
        groups = (await watcher.get("/api/v1/rules"))["groups"]
        unhealthy = [rule for group in groups for rule in group["rules"] if rule["health"] == "err"]
        assert unhealthy == []


async def test_prometheus_reads_a_server_that_asks_for_keys_over_tls(debian_binary, tiny_store, tmp_path):
    authority, keys = Authority(tmp_path), tmp_path / "keys.toml"
    (tmp_path / "metrics.key").write_text(create_key(keys, "prometheus", ["metrics"]))
    tls = authority.server()
    security = {"keys_file": keys, "tls_certificate": tls.certificate, "tls_private_key": tls.private_key}
    how = {
        "scheme": "https",
        "tls_config": {"ca_file": str(authority.file)},
        "authorization": {"credentials_file": str(tmp_path / "metrics.key")},
    }
    binary = debian_binary("prometheus")
    async with running(settings_of(tiny_store, security=security)) as server:
        target = server.metrics_url.removeprefix("https://").removesuffix("/metrics")
        async with prometheus(binary, tmp_path, target, **how) as watcher:
            await until(lambda: watcher.query("voxswap_build_info"))
        (tmp_path / "metrics.key").write_text("voxswap_guess")
        shutil.rmtree(tmp_path / "data")
        async with prometheus(binary, tmp_path, target, **how) as watcher:
            (down,) = await until(lambda: watcher.query("up"))
            assert down["value"][1] == "0"


async def test_an_exemplar_leads_to_the_trace(debian_binary, tiny_store, tmp_path):
    trace = "0af7651916cd43dd8448eb211c80319c"
    async with running(settings_of(tiny_store)) as server:
        parent = [("traceparent", f"00-{trace}-b7ad6b7169203331-01")]
        async with (
            AsyncClient(f"127.0.0.1:{server.rpc.port}", metadata=parent) as client,
            prometheus(debian_binary("prometheus"), tmp_path, scrape_address(server.metrics_url)) as watcher,
        ):
            await say(client, "amber")
            name = "voxswap_time_to_first_audio_seconds_bucket"
            # Timestamps of the whole life of this Prometheus.
            asked = {"query": name, "start": "0", "end": "9999999999"}
            (series,) = await until(lambda: watcher.get("/api/v1/query_exemplars", **asked))
            assert series["exemplars"][0]["labels"] == {"trace_id": trace}


@pytest.mark.parametrize(
    "words",
    [
        ("check", "config", "prometheus.yml"),
        ("check", "rules", "--lint-fatal", "rules.yml"),
        ("test", "rules", "rules_test.yml"),
    ],
    ids=" ".join,
)
def test_promtool_is_content(debian_binary, words):
    done = subprocess.run(
        [debian_binary("promtool"), *words], cwd=DEPLOY / "prometheus", capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr


def test_every_alert_is_tested():
    rules = yaml.safe_load((DEPLOY / "prometheus" / "rules.yml").read_text())
    tests = yaml.safe_load((DEPLOY / "prometheus" / "rules_test.yml").read_text())
    alerts = {rule["alert"] for group in rules["groups"] for rule in group["rules"] if "alert" in rule}
    fired = {
        case["alertname"] for test in tests["tests"] for case in test.get("alert_rule_test", ()) if case["exp_alerts"]
    }
    assert alerts - fired == {"VoxswapSlowRelease"}
