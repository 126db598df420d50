"""Logs of a soak: runs add up, a run that was ended in the middle loses nothing, and strangers do not mix."""

import pytest

from bench.soak.log import BadLog, Log, Run, Sample, Setting, read
from bench.soak.report import markdown, verdict

SETTING = Setting("swaps", "engine", "4 seeded small v2 voices", 1)
OTHER = Setting("text", "grpc", "4 seeded small v2 voices", 1)


def write(path, count, setting=SETTING, rss_bytes=500 << 20):
    log = Log.begin(path, setting, "2026-01-01T00:00:00+00:00", "a machine")
    for number in range(1, count + 1):
        log.add(Sample(100 * number, rss_bytes + 4096 * (number % 2), 60 * number))
    log.close()


def test_what_is_written_is_read(tmp_path):
    write(tmp_path / "log.jsonl", 3)
    (run,) = read([tmp_path / "log.jsonl"])
    assert run.setting == SETTING
    assert [sample.count for sample in run.samples] == [100, 200, 300]
    assert run.samples[-1].wall_s == 180


def test_a_run_that_goes_on_adds_up(tmp_path):
    write(tmp_path / "log.jsonl", 40)
    write(tmp_path / "log.jsonl", 20)
    write(tmp_path / "elsewhere.jsonl", 40)
    runs = read([tmp_path / "log.jsonl", tmp_path / "elsewhere.jsonl"])
    assert [run.count for run in runs] == [4000, 2000, 4000]
    assert verdict(runs).startswith("10,000 of 10,000 swaps in 3 runs")
    assert verdict(runs).endswith("flat")


def test_a_line_that_was_cut_off_costs_no_other(tmp_path):
    path = tmp_path / "log.jsonl"
    write(path, 3)
    path.write_bytes(path.read_bytes()[:-10])
    assert [sample.count for sample in read([path])[0].samples] == [100, 200]


def test_after_a_cut_the_next_run_begins_on_a_line_of_its_own(tmp_path):
    path = tmp_path / "log.jsonl"
    write(path, 3)
    path.write_bytes(path.read_bytes()[:-10])
    write(path, 2)
    assert [run.count for run in read([path])] == [200, 200]


def test_another_soak_does_not_go_into_the_log(tmp_path):
    write(tmp_path / "log.jsonl", 3)
    with pytest.raises(BadLog, match=r"is the log of .*swaps.*, not of .*text"):
        Log.begin(tmp_path / "log.jsonl", OTHER, "now", "a machine")
    assert len(read([tmp_path / "log.jsonl"])) == 1


@pytest.mark.parametrize("content", ["", "no JSON\n", '{"count": 1}\n', '{"count": 1, "rss_bytes": 2, "wall_s": 3}\n'])
def test_what_is_no_log_is_told(tmp_path, content):
    (tmp_path / "log.jsonl").write_text(content, "utf-8")
    with pytest.raises(BadLog, match=r"log\.jsonl"):
        read([tmp_path / "log.jsonl"])


def test_a_page_tells_each_soak_and_each_run(tmp_path):
    write(tmp_path / "swaps.jsonl", 40)
    write(tmp_path / "swaps.jsonl", 0)
    write(tmp_path / "text.jsonl", 2, OTHER)
    page = markdown([read([tmp_path / "swaps.jsonl"]), read([tmp_path / "text.jsonl"])])
    assert "## Memory over swaps" in page
    assert "## Memory over one stream of text" in page
    assert "200 of 90 minutes of audio in 1 run: too few samples for a slope" in page
    assert "| 2026-01-01T00:00:00+00:00 | 4,000 | 40.0 | 40 | 500.0, 500.0, 500.0 |" in page
    assert "| 2026-01-01T00:00:00+00:00 | 0 | 0 | 0 | — |" in page


def test_runs_of_two_settings_have_no_common_verdict():
    runs = [Run(setting, "", "", ()) for setting in (SETTING, OTHER)]
    with pytest.raises(BadLog, match="2 settings do not add up"):
        verdict(runs)
