"""The dashboards as committed: fresh, complete, and of one mind with the metrics and the rules."""

import json
import re
import subprocess
import sys

import pytest
import yaml
from prometheus_client import CollectorRegistry

from tests.fixtures.deployment import DEPLOY
from voxswap_server.metrics import Metrics

BOARDS = sorted((DEPLOY / "grafana" / "dashboards").glob("*.json"))
RULES = yaml.safe_load((DEPLOY / "prometheus" / "rules.yml").read_text())
NUMBERS = r"\b(voxswap_[a-z_]+?)(?:_bucket|_sum|_count|_total)?(?![a-z_])"


def queries(board):
    panels = json.loads(board.read_text())["panels"]
    return [target["expr"] for panel in panels for target in panel.get("targets", ())]


def asked():
    """Everything that a dashboard or a rule asks for."""
    rules = [rule["expr"] for group in RULES["groups"] for rule in group["rules"]]
    return "\n".join([*(query for board in BOARDS for query in queries(board)), *rules])


def exposed():
    registry = CollectorRegistry()
    Metrics(registry).build(version="1")
    return {family.name for family in registry.collect()}


def test_they_are_fresh():
    done = subprocess.run(
        [sys.executable, str(DEPLOY / "grafana" / "generate.py"), "--check"],
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, done.stderr) == (0, "")


def test_every_number_is_shown_and_every_number_that_is_shown_exists():
    shown = set(re.findall(NUMBERS, asked())) - {"voxswap_build_info"}
    # A number that nobody looks at belongs on a board: deploy/grafana/boards, then `make dashboards`.
    assert shown == exposed() - {"voxswap_build"}


def test_every_record_that_is_asked_for_is_recorded():
    records = {rule["record"] for group in RULES["groups"] for rule in group["rules"] if "record" in rule}
    assert set(re.findall(r"\bvoxswap:[a-z0-9_:]+", asked())) <= records


@pytest.mark.parametrize("board", BOARDS, ids=lambda board: board.stem)
def test_a_board_can_be_loaded(board):
    content = json.loads(board.read_text())
    assert content["uid"] == board.stem
    ids = [panel["id"] for panel in content["panels"]]
    assert len(ids) == len(set(ids))
    for panel in content["panels"]:
        place = panel["gridPos"]
        assert place["x"] + place["w"] <= 24
        if panel["type"] != "row":
            assert panel["description"], panel["title"]
            assert panel["datasource"]["uid"] == "${datasource}"
