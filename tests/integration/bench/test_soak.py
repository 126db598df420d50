"""The soak against a real engine and against a real server, on small counts."""

import pytest
from structlog.testing import capture_logs

from bench.soak.__main__ import main
from bench.soak.log import read


@pytest.fixture(autouse=True)
def _logs():
    with capture_logs():
        yield


def test_swaps_of_an_engine_add_up_over_runs_and_make_a_page(tiny_store, tmp_path, capsys):
    log, page = tmp_path / "swaps.jsonl", tmp_path / "to" / "soak.md"
    swap = ["swaps", "--log", str(log), "--store", str(tiny_store), "--voices", "amber", "slate", "coral", "onyx"]
    for _ in range(2):
        assert main([*swap, "--count", "12", "--every", "4", "--speak-every", "7"]) == 0
    runs = read([log])
    assert [run.count >= 12 for run in runs] == [True, True], "laps are made to their end, and speaking may load too"
    assert all(run.samples[-1].count == run.count and run.samples[0].rss_bytes > 2**20 for run in runs)
    assert f"{sum(run.count for run in runs):,.0f} of 10,000 swaps in 2 runs" in capsys.readouterr().out
    assert main(["report", str(log), "--to", str(page)]) == 0
    assert "4 voices of a store, budget" in page.read_text("utf-8")


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["swaps", "text"])
def test_a_server_over_grpc_is_soaked_in_a_process_of_its_own(tiny_store, tmp_path, capsys, kind):
    log = tmp_path / "soak.jsonl"
    bounds = {"swaps": ["--count", "4", "--every", "2"], "text": ["--count", "0.05", "--every", "0.02"]}[kind]
    command = [kind, "--transport", "grpc", "--log", str(log), "--store", str(tiny_store), *bounds]
    assert main(command) == 0
    (run,) = read([log])
    assert run.count >= float(bounds[1])
    assert run.samples[-1].rss_bytes > 100 * 2**20
