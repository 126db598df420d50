"""Text becomes sentences in order, and nothing of it is lost on the way."""

from hypothesis import given
from hypothesis import strategies as st

from voxswap_server.engine.live.agenda import PIECE_CHARS, Agenda, pieces

PIECES = st.lists(st.sampled_from(["One, two", ". ", " Three! ", "4", ".5 ", "好。", "\n"]))


@given(PIECES)
def test_sentences_and_rest_are_the_text(pieces: list[str]) -> None:
    agenda = Agenda()
    for piece in pieces:
        agenda.push(piece)
    assert "".join(sentence.text for sentence in agenda.sentences) + agenda.rest == "".join(pieces)
    assert [sentence.number for sentence in agenda.sentences] == list(range(len(agenda.sentences)))
    assert agenda.chars == len("".join(pieces))
    assert agenda.empty == (not any(pieces))


def test_after_a_flush_nothing_is_unfinished() -> None:
    agenda = Agenda()
    agenda.push("One. Two")
    agenda.flush()
    assert [sentence.text for sentence in agenda.sentences] == ["One. ", "Two"]
    assert agenda.rest == ""


def test_what_was_forgotten_is_not_counted_again() -> None:
    agenda = Agenda()
    agenda.push("One. Two")
    agenda.clear()
    assert agenda.empty
    agenda.push("Three. ")
    agenda.flush()
    assert [(sentence.number, sentence.text) for sentence in agenda.sentences] == [(1, "Three. ")]


@given(st.text(), st.integers(0, 60))
def test_a_long_text_is_all_in_its_pieces(text: str, times: int) -> None:
    cut = list(pieces(text * times))
    assert "".join(cut) == text * times
    assert all(0 < len(piece) <= PIECE_CHARS for piece in cut)
