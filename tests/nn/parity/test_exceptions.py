"""The table of exceptions is one: what the tool excuses is what the documentation says."""

from pathlib import Path

import pytest

from voxswap_server.parity.cases import Goldens, Inputs
from voxswap_server.parity.compare import Row, Verdict
from voxswap_server.parity.exceptions import departures_table, exemptions_table, load_fidelity

ROOT = Path(__file__).parents[3]
FIDELITY = load_fidelity()


@pytest.mark.parametrize(
    ("mark", "table"), [("exemptions", exemptions_table(FIDELITY)), ("departures", departures_table(FIDELITY))]
)
def test_the_documentation_shows_the_table(mark, table):
    text = (ROOT / "docs" / "FIDELITY.md").read_text("utf-8")
    assert f"<!-- {mark} -->\n{table}\n<!-- /{mark} -->" in text


def test_every_exception_names_arguments_that_exist():
    for entry in FIDELITY.exemptions:
        assert entry.inputs.keys() <= Inputs.model_fields.keys()


@pytest.mark.parametrize(
    ("name", "stage", "verdict"),
    [
        ("en_stream_speed", "int16", Verdict.EXCUSED),
        ("en_stream_speed", "tokens", Verdict.FAIL),
        ("en_stream_speed", "logits", Verdict.FAIL),
        ("en_loud", "int16", Verdict.FAIL),
    ],
)
def test_only_named_stages_of_fitting_cases_are_excused(name, stage, verdict):
    case = Goldens(ROOT / "tests" / "goldens").case("v2", name)
    (row,) = FIDELITY.judge(case, [Row(case.name, stage, Verdict.FAIL)])
    assert row.verdict is verdict


def test_what_passes_is_left_alone():
    case = Goldens(ROOT / "tests" / "goldens").case("v2", "en_stream_speed")
    row = Row(case.name, "int16", Verdict.PASS)
    assert FIDELITY.judge(case, [row]) == [row]
