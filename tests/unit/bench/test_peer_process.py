"""A peer is asked by lines of JSON, and whatever goes wrong with it is told."""

import sys
from pathlib import Path

import pytest

from bench.peers.process import Peer, PeerFailed

WORKER = """
import json, os, sys
print("for people", file=sys.stderr)
for line in sys.stdin:
    asked = json.loads(line)
    if asked["work"] == "end":
        print("out of memory", file=sys.stderr)
        sys.exit(1)
    if asked["work"] == "fail":
        print(json.dumps({"error": "no such voice"}), flush=True)
    else:
        given = {"threads": os.environ["OMP_NUM_THREADS"], "folder": os.getcwd()}
        print(json.dumps({"asked": asked, **given}), flush=True)
"""


@pytest.fixture
def script(tmp_path: Path) -> Path:
    file = tmp_path / "worker.py"
    file.write_text(WORKER, "utf-8")
    return file


def test_it_answers_what_it_is_asked(script, tmp_path):
    with Peer(Path(sys.executable), script, tmp_path / "peer", threads=3) as peer:
        first, second = peer.ask("decode", tokens=75), peer.ask("switch")
    assert first["asked"] == {"work": "decode", "tokens": 75}
    assert second["asked"] == {"work": "switch"}
    assert (first["threads"], first["folder"]) == ("3", str(tmp_path / "peer"))


def test_its_error_is_ours(script, tmp_path):
    with Peer(Path(sys.executable), script, tmp_path / "peer", threads=1) as peer:
        with pytest.raises(PeerFailed, match="fail: no such voice"):
            peer.ask("fail")
        assert peer.ask("go on")["asked"] == {"work": "go on"}


def test_its_last_words_are_told(script, tmp_path):
    with Peer(Path(sys.executable), script, tmp_path / "peer", threads=1) as peer:
        with pytest.raises(PeerFailed, match="the peer ended: out of memory"):
            peer.ask("end")
        with pytest.raises(PeerFailed, match="out of memory"):
            peer.ask("again")
