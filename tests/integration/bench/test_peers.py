"""The comparison with other servers, over a peer and a side of ours that only count: what is asked and what is written."""

import json
import sys
from pathlib import Path

import pytest

from bench.peers import compare
from bench.peers.__main__ import named
from bench.peers.ours import Took
from bench.peers.process import Peer
from bench.peers.rivals import RIVALS, Rival
from bench.peers.written import write
from voxswap_server.bench.report import Report

WORKER = """
import json, sys
for line in sys.stdin:
    asked = json.loads(line)
    print(json.dumps(asked), file=sys.stderr, flush=True)
    took = {"wall_s": 4.0, "cpu_s": 3.0}
    print(json.dumps({"all": took, "first": took}), flush=True)
"""
RIVAL = Rival("other-tts", Path("worker.py"), "torch", rows=(1, 4), loops=("batch",), modes={"stream": "fast"})


class Counting:
    """A side of ours that takes a second for everything."""

    def __init__(self) -> None:
        self.asked: list[tuple[object, ...]] = []

    def _took(self, *asked: object) -> Took:
        self.asked.append(asked)
        return Took(2.0, 1.0)

    def t2s(self, rows: int, tokens: int, prompt_tokens: int) -> Took:
        return self._took("t2s", rows, tokens, prompt_tokens)

    def decode(self, tokens: int) -> Took:
        return self._took("decode", tokens)

    def request(self, *, exact: bool) -> tuple[Took, Took, float]:
        return self._took("first", exact), self._took("all", exact), 8.0

    def switch(self) -> Took:
        return self._took("switch")


@pytest.fixture
def measured(tmp_path):
    script = tmp_path / "worker.py"
    script.write_text(WORKER, "utf-8")
    exact, int8 = Counting(), Counting()
    with Peer(Path(sys.executable), script, tmp_path / "peer", threads=1) as peer:
        rows = list(compare.measure(exact, int8, peer, RIVAL, 119, rounds=2))
    asked = [json.loads(line) for line in (tmp_path / "peer" / "peer.log").read_text("utf-8").splitlines()]
    return exact, int8, asked, rows


def test_both_sides_do_the_same_work(measured):
    exact, int8, asked, _ = measured
    rows = {one["rows"] for one in asked if one["work"] == "t2s"}
    assert rows == {1, 4}
    for side in (exact, int8):
        prompts = {(one[1], one[2], one[3]) for one in side.asked if one[0] == "t2s"}
        assert prompts == {(count, compare.T2S_TOKENS, 119) for count in rows}
    assert {one["tokens"] for one in asked if one["work"] == "t2s"} == {compare.T2S_TOKENS}
    assert {one["mode"] for one in asked if one["work"] == "request"} == {"whole", "fast"}


def test_a_ratio_is_of_cpu_seconds_and_wall_clocks_are_kept(measured):
    *_, rows = measured
    ratios = {row.name: row.ratio.best for row, _ in rows if row.ratio}
    assert set(ratios.values()) == {3.0}
    assert "4 rows, ours, int8" in ratios
    assert {row.reference.name for row, _ in rows if row.reference} >= {"other-tts", "other-tts, batch loop"}
    assert all(walls == [2.0] * 2 if "ours" in row.name else walls == [4.0] * 2 for row, walls in rows)


def test_the_report_is_a_page_numbers_and_a_picture(measured, tmp_path):
    *_, rows = measured
    conditions = {"machine": "a machine", "run": "2 rounds"}
    page, data, picture = write(tmp_path / "to", Report(conditions, tuple(row for row, _ in rows)), rows)
    text = page.read_text("utf-8")
    assert text.startswith("# Beside other servers\n\n![ratios](peers.png)\n\n- machine: a machine")
    assert all(f"## {title}" in text for title in compare.TITLES.values())
    content = json.loads(data.read_text("utf-8"))
    assert len(content["rows"]) == len(content["wall_clock"]) == len(rows)
    assert picture.read_bytes().startswith(b"\x89PNG")


def test_a_report_without_a_ratio_has_a_picture_too(tmp_path):
    *_, picture = write(tmp_path, Report({"machine": "a machine", "run": "none"}, ()), [])
    assert picture.stat().st_size > 0


def test_peers_are_named_on_the_command_line():
    assert named("genie=somewhere/genie") == ("genie", Path("somewhere/genie"))
    assert named("somewhere/else") == ("cpufast", Path("somewhere/else"))
    with pytest.raises(SystemExit, match="no peer 'aqua'; choices: cpufast, genie"):
        named("aqua=somewhere")


@pytest.mark.parametrize("name", RIVALS)
def test_every_peer_has_a_worker_and_an_environment(name):
    rival = RIVALS[name]
    assert rival.worker.is_file()
    pins = (rival.worker.parent / f"{name}.txt").read_text("utf-8").lower()
    assert f"\n{rival.package}==" in pins
    assert f"\n{rival.runtime}==" in pins
    compile(rival.worker.read_text("utf-8"), rival.worker, "exec")
