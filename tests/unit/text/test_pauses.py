"""Marks of silence: what is one, what is none, what is refused, and that nothing else of the text is touched."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from voxswap_server.errors import RequestError
from voxswap_server.text.pauses import LONGEST_MS, Pause, split

PLAIN = st.text(max_size=20).filter(lambda text: "[" not in text and "]" not in text)
PAUSES = st.integers(0, LONGEST_MS).map(Pause)


def written(pause: Pause, *, in_seconds: bool) -> str:
    return f"[pause:{pause.ms / 1000:.3f}s]" if in_seconds else f"[pause:{pause.ms}ms]"


@given(st.lists(st.tuples(PLAIN, PAUSES, st.booleans()), max_size=12), PLAIN)
def test_marks_are_found_where_they_stand_and_the_rest_is_kept(marked, tail):
    text = "".join(plain + written(pause, in_seconds=seconds) for plain, pause, seconds in marked) + tail
    expected = [part for plain, pause, _ in marked for part in (plain, pause) if part != ""]
    assert list(split(text)) == expected + ([tail] if tail else [])


@given(st.text(alphabet="[]pause:0159.ms \nPA", max_size=40))
def test_any_text_is_split_or_refused_and_no_mark_is_left(text):
    try:
        parts = split(text)
    except RequestError:
        return
    spoken = [part for part in parts if isinstance(part, str)]
    assert "" not in spoken
    assert not any("[pause:" in part.lower() for part in spoken)
    if all(isinstance(part, str) for part in parts):
        assert "".join(spoken) == text


@pytest.mark.parametrize(
    ("mark", "ms"),
    [
        ("[pause:500ms]", 500),
        ("[pause:1.5s]", 1500),
        ("[pause:0.001s]", 1),
        ("[pause: 2 s ]", 2000),
        ("[Pause:7MS]", 7),
        ("[pause:500.0ms]", 500),
        ("[pause:10s]", 10_000),
        ("[pause:0s]", 0),
    ],
)
def test_forms_of_a_mark(mark, ms):
    assert split(f"a{mark}b") == ("a", Pause(ms), "b")


@pytest.mark.parametrize(
    ("mark", "told"),
    [
        ("[pause:500]", "form"),
        ("[pause:-1s]", "form"),
        ("[pause:fast]", "form"),
        ("[pause:1,5s]", "form"),
        ("[pause]", "form"),
        ("[pause:500ms", "form"),
        ("[pause:١s]", "form"),
        ("[pause:1m]", "form"),
        ("[pause:1e3ms]", "form"),
        (f"[pause:{'9' * 5000}s]", "form"),
        ("[pause:0.5ms]", "whole number of milliseconds"),
        ("[pause:1.0005s]", "whole number of milliseconds"),
        ("[pause:10.001s]", "longer than 10 s"),
        ("[pause:10001ms]", "longer than 10 s"),
    ],
)
def test_a_bad_mark_is_refused_by_its_text(mark, told):
    with pytest.raises(RequestError, match=told) as caught:
        split(f"Hello {mark} there")
    assert mark[:30] in caught.value.message
    assert caught.value.field == "text"
    assert len(caught.value.message) < 150


@pytest.mark.parametrize("text", ["[pauses are long]", "pause: 5s", "[Pause for effect]", "a [b] c", "[[1]]", ""])
def test_what_is_no_mark_stays_text(text):
    assert "".join(part for part in split(text) if isinstance(part, str)) == text


def test_all_marks_together_have_a_bound():
    assert len(split("[pause:10s]" * 60)) == 60
    with pytest.raises(RequestError, match=r"610 s together; at most 600 s"):
        split("[pause:10s]" * 61)
