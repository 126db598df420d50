"""The examples of docs/LIVE.md run, and what it names exists."""

import re
import subprocess
import sys
from dataclasses import fields
from pathlib import Path

import pytest

PAGE = (Path(__file__).parents[3] / "docs" / "LIVE.md").read_text(encoding="utf-8")
EXAMPLES = re.findall(r"```python\n(.*?)```", PAGE, re.DOTALL)


@pytest.mark.parametrize(("number", "printed"), [(0, "slate from sample"), (1, "bytes to play"), (2, "heard:")])
def test_an_example_runs(server, tmp_path, number, printed):
    code = EXAMPLES[number].replace("localhost:50051", server.address)
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True, check=False, timeout=60
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert printed in done.stdout


def test_all_examples_are_run():
    assert len(EXAMPLES) == 3


def test_every_message_setting_metric_and_viseme_is_named():
    from prometheus_client import CollectorRegistry

    from voxswap.v1 import speech_service_pb2
    from voxswap_server.engine.live.limits import LiveLimits
    from voxswap_server.metrics import Metrics
    from voxswap_server.text.visemes import VISEMES

    messages = {field.name for field in speech_service_pb2.StreamingSynthesizeRequest.DESCRIPTOR.fields} - {"config"}
    assert set(re.findall(r"^\| `([a-z_]+)` \|", PAGE, re.MULTILINE)) == messages
    points = {value.name for value in speech_service_pb2.SwitchPoint.DESCRIPTOR.values if value.number}
    assert {f"SWITCH_POINT_{name}" for name in re.findall(r"^\| `([A-Z_]+)` \|", PAGE, re.MULTILINE)} == points
    assert all(f"`{field.name}`" in PAGE or f"live.{field.name}" in PAGE for field in fields(LiveLimits))
    assert f"`{' '.join(VISEMES)}`" in PAGE
    registry = CollectorRegistry()
    Metrics(registry)
    known = {sample.name for metric in registry.collect() for sample in metric.samples} | {
        metric.name + suffix for metric in registry.collect() for suffix in ("", "_total")
    }
    assert set(re.findall(r"`(voxswap_[a-z_]+)", PAGE)) - {"voxswap_client"} <= known
