"""Sentences out of a text that is still being written."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from voxswap_server.text.sentences import LONGEST_CHARS, SentenceCutter


def cut(text: str) -> list[str]:
    cutter = SentenceCutter()
    return [*cutter.push(text), *cutter.flush()]


@pytest.mark.parametrize(
    ("text", "sentences"),
    [
        ("Hello there. How are you?", ["Hello there. ", "How are you?"]),
        ("It costs 3.14 dollars. Yes.", ["It costs 3.14 dollars. ", "Yes."]),
        ("Dr. Smith, e.g. J. Smith. He said so.", ["Dr. Smith, e.g. J. Smith. ", "He said so."]),
        ("See example.com now! Go", ["See example.com now! ", "Go"]),
        ('"Really?" she asked... Well?!', ['"Really?" ', "she asked... ", "Well?!"]),
        ("1. First\n2. Second\n\nEnd", ["1. First\n", "2. Second\n\n", "End"]),
        ("你好。今天天气不错！！是吗？走吧", ["你好。", "今天天气不错！！", "是吗？", "走吧"]),
        ("「もういい。」と言った。はい", ["「もういい。」", "と言った。", "はい"]),
        ("... --- Hello. ", ["... --- Hello. "]),
        ("no end at all", ["no end at all"]),
        ("?! …", []),
        ("", []),
    ],
)
def test_where_sentences_end(text: str, sentences: list[str]) -> None:
    assert cut(text) == sentences


def test_an_end_counts_once_something_follows_it() -> None:
    cutter = SentenceCutter()
    assert cutter.push("It is 3.") == []
    assert cutter.push("5 o'clock. ") == []
    assert cutter.push("T") == ["It is 3.5 o'clock. "]
    assert cutter.waiting == "T"
    assert cutter.flush() == ["T"]
    assert cutter.waiting == ""


def test_a_text_without_end_is_cut_at_a_clause_else_at_a_word_else_where_it_must_be() -> None:
    clauses = cut("word " * 70 + "comma, " + "word " * 40)
    assert clauses[0].endswith("comma, ")
    assert cut("word " * 100)[0] == "word " * (LONGEST_CHARS // 5 - 1)
    assert [len(sentence) for sentence in cut("x" * 1000)] == [LONGEST_CHARS, LONGEST_CHARS, 1000 - 2 * LONGEST_CHARS]


def test_marks_without_an_end_do_not_wait_for_a_letter_for_ever() -> None:
    cutter = SentenceCutter()
    assert cutter.push("." * (2 * LONGEST_CHARS + 1)) == ["." * LONGEST_CHARS] * 2
    assert cutter.waiting == "."


TEXTS = st.text(st.sampled_from('aB1。！.!?,; \n"”…'), max_size=60)


@given(st.lists(TEXTS, max_size=8))
def test_nothing_is_lost_or_changed(pieces: list[str]) -> None:
    cutter = SentenceCutter()
    sentences = [sentence for piece in pieces for sentence in cutter.push(piece)]
    assert "".join(sentences) + cutter.waiting == "".join(pieces)
    assert all(any(char.isalnum() for char in sentence) or len(sentence) == LONGEST_CHARS for sentence in sentences)


@given(TEXTS)
def test_it_does_not_matter_how_a_text_comes(text: str) -> None:
    letters = SentenceCutter()
    assert [sentence for char in text for sentence in letters.push(char)] + letters.flush() == cut(text)


LONG = st.sampled_from(("word " * 90, "x" * 399, "." * 399, " " * 399, "\n" * 20, "好" * 398, "ab. ", "好。"))


@settings(max_examples=25)
@given(st.lists(LONG | TEXTS, max_size=6))
def test_nor_how_a_long_one_comes(pieces: list[str]) -> None:
    cutter = SentenceCutter()
    assert [sentence for piece in pieces for sentence in cutter.push(piece)] + cutter.flush() == cut("".join(pieces))
