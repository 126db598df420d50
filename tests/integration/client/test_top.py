"""`voxswap top` on a server with fakes behind it: what it reads, what it shows, how it fails."""

import io

import pytest
from prometheus_client import CollectorRegistry
from rich.console import Console
from typer.testing import CliRunner

from voxswap_client.top.scrape import Scraper
from voxswap_client.top.view import drawn
from voxswap_client.top.watch import Watch
from voxswap_server.cli.main import app
from voxswap_server.errors import Unauthenticated
from voxswap_server.exposition import MetricsServer
from voxswap_server.metrics import Metrics


@pytest.fixture
def registry():
    return CollectorRegistry()


@pytest.fixture
def metrics(registry):
    return Metrics(registry)


@pytest.fixture
def exposed(registry, metrics):
    with MetricsServer(registry, "127.0.0.1", 0) as exposed:
        yield exposed


def screen(moment):
    page = io.StringIO()
    Console(file=page, width=110).print(drawn(moment))
    return page.getvalue()


def test_a_moment_shows_residents_numbers_and_changes(server, client, exposed, metrics):
    times = iter((0.0, 2.0))
    watch = Watch(client, Scraper(exposed.url), lambda: next(times))
    with watch.following():
        first = screen(watch.moment())
        assert "waiting for the second reading" in first
        assert "no voices in memory" in first
        metrics.running(3)
        metrics.waiting(7)
        for _ in range(10):
            metrics.request("Speak", "OK")
            metrics.first_audio(0.25, warm=True)
        client.pin_voice("narrator")
        moment = watch.moment()
    shown = screen(moment)
    for part in ("serving", "running 3", "queue 7", "requests 5.0/s", "TTFA p50 250 ms", "narrator (pinned)"):
        assert part in shown, part
    assert "device" in shown
    assert moment.numbers.swaps == 0


def test_changes_are_told_newest_first(server, client, exposed):
    watch = Watch(client, Scraper(exposed.url))
    with watch.following():
        client.load_voice("narrator")
        client.unload_voice("narrator")
        client.load_voice("slate")
    # The block has ended, so all that was sent has arrived or never will.
    kinds = [event.kind for event in watch._events]
    assert kinds == ["loaded", "evicted", "loaded"][: len(kinds)]


def test_without_metrics_the_rest_is_shown(client):
    watch = Watch(client, Scraper("http://127.0.0.1:9/metrics"))
    shown = screen(watch.moment())
    assert "no metrics at http://127.0.0.1:9/metrics" in shown
    assert "no voices in memory" in shown


def test_what_the_metrics_answer_is_told(registry, client):
    def nobody(_headers):
        raise Unauthenticated("this server asks for an API key")

    with MetricsServer(registry, "127.0.0.1", 0, admit=nobody) as exposed:
        shown = screen(Watch(client, Scraper(exposed.url)).moment())
    assert "answers 401: this server asks for an API key" in " ".join(shown.split())


def test_a_page_that_is_no_metrics_is_told(client, monkeypatch):
    monkeypatch.setattr(Scraper, "text", lambda self: "<html>{")
    assert Watch(client, Scraper("http://elsewhere/")).moment().problem


def test_the_command_looks_as_often_as_it_is_told(server, exposed, metrics):
    metrics.running(1)
    words = ["top", "--address", server.address, "--metrics", exposed.url, "--looks", "2", "--every", "0.1"]
    done = CliRunner().invoke(app, words)
    assert done.exit_code == 0, done.stderr
    assert "running 1" in done.stdout
    assert "residents" in done.stdout


def test_the_command_fails_plainly_without_a_server():
    done = CliRunner().invoke(app, ["top", "--address", "127.0.0.1:9", "--looks", "1"])
    assert (done.exit_code, "no voxswap server answers at 127.0.0.1:9" in done.stderr) == (3, True)
