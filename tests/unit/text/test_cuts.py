"""Cut methods: recorded answers, and what holds for any text."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from voxswap_server.domain import CutMethod
from voxswap_server.errors import RequestError
from voxswap_server.text.cuts import SPLITTERS, collapse_repeats, cut, utterances

MARKS_AND_LETTERS = st.text(st.sampled_from("ab好 1\n.,!?;:，。！？：…—~-"), max_size=120)


@pytest.mark.parametrize(
    ("text", "collapsed"),
    [("Wait...", "Wait."), ("no?!?!", "no?"), ("a--b", "a-b"), ("！！", "！！"), ("……", "…"), ("a. .b", "a. .b")],
)
def test_collapse_keeps_the_first_of_a_run(text, collapsed):
    assert collapse_repeats(text) == collapsed


@pytest.mark.parametrize(
    ("method", "pieces"),
    [
        (CutMethod.NONE, ["One. Two, three? Four! Five: six"]),
        (CutMethod.FOUR_SENTENCES, ["One. Two, three? Four! Five: six。"]),
        (CutMethod.FIFTY_CHARACTERS, ["One. Two, three? Four! Five: six。"]),
        (CutMethod.CHINESE_STOP, ["One. Two, three? Four! Five: six"]),
        (CutMethod.ENGLISH_STOP, ["One", " Two, three? Four! Five: six"]),
        (CutMethod.PUNCTUATION, ["One.", " Two,", " three?", " Four!", " Five: six"]),
    ],
)
def test_each_method_cuts_its_way(method, pieces):
    assert cut("One. Two, three? Four! Five: six", method) == pieces


def test_a_point_between_digits_never_cuts():
    assert cut("pi is 3.14. Yes", CutMethod.PUNCTUATION) == ["pi is 3.14.", " Yes"]
    assert cut("pi is 3.14 or so. Yes", CutMethod.ENGLISH_STOP) == ["pi is 3.14 or so", " Yes"]


def test_the_last_group_of_four_absorbs_the_rest():
    clauses = [f"clause {number}," for number in range(11)]
    assert cut("".join(clauses), CutMethod.FOUR_SENTENCES) == ["".join(clauses[:4]), "".join(clauses[4:])]


def test_a_short_start_gets_a_stop_and_the_end_is_closed():
    assert utterances("Hi. How are you", "en", CutMethod.NONE) == [".Hi. How are you."]
    assert utterances("你好", "all_zh", CutMethod.NONE) == ["。你好。"]


def test_short_pieces_join_the_next_and_a_short_tail_the_previous():
    assert utterances("第一行\n第二行\n第三", "zh", CutMethod.NONE) == ["第一行第二行第三。"]


def test_a_text_of_marks_is_a_typed_error():
    with pytest.raises(RequestError, match="nothing to speak") as raised:
        utterances("...", "en", CutMethod.PUNCTUATION)
    assert raised.value.field == "text"


def test_long_text_is_split_at_splitters():
    pieces = utterances("长" * 300 + "，" + "长" * 300 + "，" + "短。", "zh", CutMethod.NONE)
    assert [len(piece) for piece in pieces] == [301, 303]


@given(MARKS_AND_LETTERS, st.sampled_from(CutMethod), st.sampled_from(["en", "zh", "auto"]))
def test_any_text_gives_closed_pieces_with_letters_or_a_typed_error(text, method, code):
    try:
        pieces = utterances(text, code, method)
    except RequestError:
        return
    assert all(piece[-1] in SPLITTERS for piece in pieces if piece)
    assert all(any(char.isalnum() for char in piece) for piece in pieces if piece)


@given(MARKS_AND_LETTERS, st.sampled_from(CutMethod))
def test_no_letter_is_lost_or_moved_by_a_cut(text, method):
    pieces = "".join(cut(text, method))
    assert [char for char in pieces if char.isalnum()] == [char for char in text if char.isalnum()]
