"""Rows, pages and JSON."""

import json

import pytest

from voxswap_server.bench.report import HEADINGS, Reference, Report, Row, as_json, markdown, number
from voxswap_server.bench.timing import Series

ROW = Row("t2s", "a step", "ms", Series((4.0, 8.0)), reference=Reference("reading", Series((2.0, 3.0))))
RATE = Row("text", "en", "characters/s", Series((100.0, 150.0)), "higher")
REPORT = Report({"machine": "a shed"}, (ROW, RATE))


def test_a_row_names_its_reference_and_how_it_compares():
    assert ROW.cells() == ("a step", "ms", "4.00", "6.00", "100 %", "reading", "2.00", "0.500", "0.375 to 0.500")


def test_a_row_without_reference_has_as_many_cells():
    assert RATE.cells() == ("en", "characters/s", "150", "125", "50 %", "", "", "", "")
    assert len(RATE.cells()) == len(HEADINGS)


def test_what_happened_once_has_no_spread():
    assert Row("text", "first", "s", Series((3.0,))).cells()[2:5] == ("3.00", "once", "")


@pytest.mark.parametrize(
    ("value", "shown"),
    [(0, "0.000"), (0.0123, "0.0123"), (0.5, "0.500"), (9.87, "9.87"), (12.34, "12.3"), (1234.5, "1234")],
)
def test_three_digits_count(value, shown):
    assert number(value) == shown


def test_the_page_has_a_table_for_each_measure_in_order():
    page = markdown(REPORT, {"t2s": "T2S", "text": "Text"})
    assert page.index("a shed") < page.index("## T2S") < page.index("| a step | ms | 4.00 |") < page.index("## Text")
    tables = [line for line in page.splitlines() if line.startswith("|")]
    assert {line.count("|") for line in tables} == {len(HEADINGS) + 1}


def test_json_keeps_every_round():
    content = json.loads(as_json(REPORT))
    assert content["conditions"] == {"machine": "a shed"}
    step, rate = content["rows"]
    assert step["rounds"] == [4.0, 8.0]
    assert step["reference"] == {"name": "reading", "rounds": [2.0, 3.0]}
    assert step["ratio"] == {
        "best": 0.5,
        "rounds": [0.5, 0.375],
        "median": 0.4375,
        "spread": pytest.approx(1 / 3),
        "apart_s": None,
        "counts": False,
    }
    assert rate["reference"] is None
    assert rate["ratio"] is None
