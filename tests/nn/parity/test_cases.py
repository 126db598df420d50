"""Which cases are asked for, and what a case says of itself."""

from pathlib import Path

import pytest

from voxswap_server.parity.cases import Goldens
from voxswap_server.parity.errors import BadGoldens

GOLDENS = Goldens(Path(__file__).parents[2] / "goldens")


def test_versions_are_those_with_cases():
    assert GOLDENS.versions == ["v1", "v2", "v2Pro", "v2ProPlus", "v3", "v4"]


def test_patterns():
    assert GOLDENS.select(["v2"], ["en_sampled_*"]) == [
        ("v2", "en_sampled_eos_argmax"),
        ("v2", "en_sampled_eos_drawn"),
    ]
    assert GOLDENS.select(None, ["v2Pro/*"]) == [("v2Pro", "en_two_aux_refs")]
    assert len(GOLDENS.select(None, None)) == sum(len(GOLDENS.case_names(version)) for version in GOLDENS.versions)


@pytest.mark.parametrize(
    ("versions", "patterns", "said"),
    [(["v2", "v7"], None, "v7"), (["v2"], ["v2Pro/*"], "v2Pro"), (["v2Pro"], ["en_loud"], "en_loud")],
)
def test_what_nothing_answers_to_is_an_error(versions, patterns, said):
    """Otherwise a typing error would look like a success."""
    with pytest.raises(BadGoldens, match=said):
        GOLDENS.select(versions, patterns)


def test_sidecars_are_no_cases():
    assert not any("." in name for name in GOLDENS.case_names("v2"))


def test_a_generation_that_is_on_record_twice_is_run_once():
    case = GOLDENS.case("v2", "en_no_prompt")
    assert len(case.record.s1_calls) == 2
    assert [call.fn for call in case.calls()] == ["infer_panel_naive_batched"]


def test_reading_an_array_marks_it():
    case = GOLDENS.case("v2", "en_loud")
    assert "audio_0" in case.unused()
    case.array("audio_0")
    assert "audio_0" not in case.unused()
