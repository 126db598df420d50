"""The phone alphabets are a wire format: they must be the published ones, row by row."""

import json
from pathlib import Path

import pytest

from voxswap_server.text.symbols import SYMBOLS

PUBLISHED = json.loads(Path("tests/goldens/text/symbols.json").read_text("utf-8"))


@pytest.mark.parametrize("version", ["v1", "v2"])
def test_composed_table_is_the_published_one(version):
    assert list(SYMBOLS[version].names) == PUBLISHED[version]


def test_ids_are_rows_and_a_foreign_phone_is_unknown():
    table = SYMBOLS["v1"]
    assert [table.names[row] for row in table.ids(["HH", "AH0", "ㅎ"])] == ["HH", "AH0", "UNK"]


def test_alphabets_differ_and_later_extends_first():
    assert "Ygw" not in SYMBOLS["v1"]
    assert "Ygw" in SYMBOLS["v2"]
    assert SYMBOLS["v2"].names[:322] == SYMBOLS["v1"].names
