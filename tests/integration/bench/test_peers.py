"""The comparison with other servers, over a peer and a side of ours that only count: what is asked and what is written."""

import ast
import json
import sys
from pathlib import Path

import pytest

from bench.goals.judged import judge
from bench.goals.table import GOALS
from bench.peers import compare
from bench.peers.__main__ import named
from bench.peers.ours import Took
from bench.peers.process import Peer, PeerFailed
from bench.peers.rivals import RIVALS, Rival
from bench.peers.written import write

WORKER = """
import json, sys
for line in sys.stdin:
    print(line.strip(), file=sys.stderr, flush=True)
    print(json.dumps({"wall_s": 4.0, "cpu_s": 3.0}), flush=True)
"""
RIVAL = Rival("other-tts", Path("worker.py"), "torch", loops={"batch": (1, 4), "naive": (1,)}, modes={"stream": "fast"})
CONDITIONS = {"machine": "a machine", "run": "2 rounds"}


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

    def request(self) -> Took:
        return self._took("request")

    def first(self) -> Took:
        return self._took("first")

    def switch(self) -> Took:
        return self._took("switch")


def compared(tmp_path, sides, rival):
    script = tmp_path / "worker.py"
    script.write_text(WORKER, "utf-8")
    with Peer(Path(sys.executable), script, tmp_path / "peer", threads=1) as peer:
        return list(compare.measure(sides, peer, rival, 119, rounds=2, files=[script]))


@pytest.fixture
def measured(tmp_path):
    sides = {"exact": Counting(), "int8": Counting()}
    found = compared(tmp_path, sides, RIVAL)
    asked = [json.loads(line) for line in (tmp_path / "peer" / "peer.log").read_text("utf-8").splitlines()]
    return sides, asked, found


def test_both_sides_do_the_same_work(measured):
    sides, asked, _ = measured
    rows = {one["rows"] for one in asked if one["work"] == "t2s"}
    assert rows == {1, 4}
    for side in sides.values():
        prompts = {(one[1], one[2], one[3]) for one in side.asked if one[0] == "t2s"}
        assert prompts == {(count, compare.T2S_TOKENS, 119) for count in rows}
        assert {"request", "first"} <= {one[0] for one in side.asked}
    assert {one["tokens"] for one in asked if one["work"] == "t2s"} == {compare.T2S_TOKENS}
    assert {one["mode"] for one in asked if one["work"] == "first"} == {"fast"}


def test_a_loop_is_asked_only_for_the_batches_that_it_can(measured):
    _, asked, found = measured
    assert {one["rows"] for one in asked if one.get("loop") == "naive"} == {1}
    against = {one.row.reference.name for one in found if one.row.reference and one.row.name == "4 rows, ours, int8"}
    assert against == {"other-tts, batch loop"}


def test_a_ratio_is_of_cpu_seconds_and_the_clock_on_the_wall_is_kept(measured):
    *_, found = measured
    compared = [one for one in found if one.row.ratio]
    assert {one.row.ratio.best for one in compared} == {3.0}
    assert {one.wall_ratio.best for one in compared} == {2.0}
    assert all(one.row.ratio.counts for one in compared)
    assert "4 rows, ours, int8" in {one.row.name for one in compared}
    assert {one.row.reference.name for one in compared} >= {"other-tts", "other-tts, batch loop"}
    assert all(set(one.wall_s.values) == {2.0 if "ours" in one.row.name else 4.0} for one in found)
    rounds = {one.row.measure: len(one.wall_s.values) for one in found}
    assert rounds == dict.fromkeys(compare.TITLES, 2) | {"swap": 8}  # a switch is short


def test_the_report_is_a_page_numbers_and_a_picture(measured, tmp_path):
    *_, found = measured
    page, data, picture = write(tmp_path / "to", CONDITIONS, found)
    text = page.read_text("utf-8")
    assert text.startswith("# Beside other servers\n\n![ratios](peers.png)\n\n- machine: a machine")
    assert all(f"## {title}" in text for title in compare.TITLES.values())
    assert "| swap: ours, exact | other-tts | 3.00 | 0 % | 2.00 | 0 % | 0 s | yes |" in text
    rows = json.loads(data.read_text("utf-8"))["rows"]
    assert len(rows) == len(found)
    assert {row["wall"]["ratio"]["median"] for row in rows if row["reference"]} == {2.0}
    assert picture.read_bytes().startswith(b"\x89PNG")


def test_every_goal_against_a_peer_finds_its_row(tmp_path):
    found = compared(tmp_path, {"exact": Counting(), "int8": Counting()}, RIVALS["cpufast"])
    _, data, _ = write(tmp_path / "to", CONDITIONS, found)
    goals = [goal for goal in GOALS if goal.report == "peers"]
    judged = judge(goals, {"peers": json.loads(data.read_text("utf-8"))})
    assert {one.value for one in judged} == {3.0, 1 / 3.0}
    assert not any(one.doubts for one in judged)


def test_a_report_without_a_ratio_has_a_picture_too(tmp_path):
    *_, picture = write(tmp_path, CONDITIONS, [])
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
    tree = ast.parse(rival.worker.read_text("utf-8"))
    (worker,) = (node for node in tree.body if isinstance(node, ast.ClassDef) and node.name == "Worker")
    able = {node.name for node in worker.body if isinstance(node, ast.FunctionDef)}
    assert able >= {"open", "t2s", "decode", "request", "first", "switch"}


def test_a_worker_answers_tells_its_errors_and_times_by_both_clocks(tmp_path):
    script = tmp_path / "worker.py"
    folder = str(Path(compare.__file__).parent)
    script.write_text(
        f"""
import sys
sys.path.insert(0, {folder!r})
from answering import Watch, require_length, serve

class Worker:
    def decode(self, tokens):
        print("for people")
        watch = Watch()
        require_length(3.0, tokens)
        return watch.read()

serve(Worker())
""",
        "utf-8",
    )
    with Peer(Path(sys.executable), script, tmp_path / "peer", threads=1) as peer:
        took = Took(**peer.ask("decode", tokens=75))
        assert took.wall_s >= 0
        assert took.cpu_s >= 0
        with pytest.raises(PeerFailed, match=r"decode: ValueError\('it spoke for 3.00 s, which are not 74 tokens'\)"):
            peer.ask("decode", tokens=74)
        with pytest.raises(PeerFailed, match="no attribute 'sing'"):
            peer.ask("sing")
    assert (tmp_path / "peer" / "peer.log").read_text("utf-8").splitlines()[0] == "for people"
