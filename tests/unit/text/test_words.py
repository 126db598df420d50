"""Written words and the phones that they are spoken with."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from voxswap_server.text.symbols import SYMBOLS
from voxswap_server.text.visemes import VISEME_OF, VISEMES
from voxswap_server.text.words import spoken_words


@pytest.mark.parametrize(
    ("text", "units", "words"),
    [
        ("Hello, you.", [("Hello", 4), (",", 1), ("you", 2), (".", 1)], [("Hello", 0, 4), ("you", 5, 7)]),
        ("In 1999 NASA", [("in", 2), ("nineteen", 5), ("ninety", 4), ("nine", 3), ("N", 2), ("A", 1), ("S", 2), ("A", 1)],
         [("In", 0, 2), ("1999", 2, 14), ("NASA", 14, 20)]),
        ("5 don't", [("five", 3), ("don't", 4)], [("5", 0, 3), ("don't", 3, 7)]),
        ("今天2024年", [("今", 2), ("天", 2), ("二", 2), ("零", 2), ("二", 2), ("四", 2), ("年", 2)],
         [("今", 0, 2), ("天", 2, 4), ("2024", 4, 12), ("年", 12, 14)]),
        ("いい天気", [("いい天気", 8)], [("い", 0, 2), ("い", 2, 4), ("天", 4, 6), ("気", 6, 8)]),
        ("☺ ok", [("ok", 3)], [("ok", 0, 3)]),
        ("?!", [(".", 1)], []),
        ("", [], []),
    ],
)  # fmt: skip
def test_what_was_written_is_found_in_what_is_spoken(text, units, words) -> None:
    assert [(word.text, word.start_phone, word.end_phone) for word in spoken_words(text, units)] == words


UNITS = st.lists(st.tuples(st.text("ab1.", min_size=1, max_size=3), st.integers(0, 4)), max_size=8)


@given(st.text("ab1 .", max_size=20), UNITS)
def test_words_come_in_order_and_never_overlap(text: str, units: list[tuple[str, int]]) -> None:
    last, position = 0, 0
    for word in spoken_words(text, units):
        assert last <= word.start_phone < word.end_phone <= sum(count for _, count in units)
        last = word.end_phone
        position = text.index(word.text, position) + len(word.text)


def test_every_phone_has_a_viseme() -> None:
    assert set(VISEME_OF) == {phone for table in SYMBOLS.values() for phone in table.names}
    assert set(VISEME_OF.values()) == set(VISEMES)
    expected = {"AA1": "aa", "M": "PP", "F": "FF", "TH": "TH", "S": "SS", "UW1": "ou", "zh": "CH", "ang2": "aa"}
    expected |= {"ㅗ": "oh", "ㅁ": "PP", "Yng": "kk", "Yik1": "ih", "SP": "sil", ",": "sil", "N": "nn", "cl": "DD"}
    assert {phone: VISEME_OF[phone] for phone in expected} == expected
