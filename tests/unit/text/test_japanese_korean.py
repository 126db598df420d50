"""Japanese and Korean: phones, marks of pitch, sound changes."""

import sys

import pytest

from voxswap_server.text.japanese import JapaneseReader, _Label, _prosody
from voxswap_server.text.korean import KoreanReader


@pytest.fixture(scope="module")
def korean():
    return KoreanReader()


@pytest.mark.parametrize(
    ("written", "phones"),
    [
        ("こんにちは、元気ですか？", "k o [ N n i ch i w a , g e ] N k i d e s u k a ?"),
        ("学校の前", "g a [ cl k o o n o # m a ] e"),
        ("100％", "hy a [ k u p a a s e ] N t o"),
        ("はい!!", "h a ] i !"),
        ("スト・エディタ", "s u ] t o _ e ] d i t a"),
        ("", ""),
    ],
)
def test_japanese_has_phones_and_marks_of_pitch(written, phones):
    assert " ".join(JapaneseReader().read(written, "v2").phones) == phones


def test_marks_outside_the_alphabet_are_told_when_they_mean_something():
    assert JapaneseReader().read("水と㎏「です」", "v2").dropped == frozenset("㎏")


def test_a_fall_at_the_end_of_a_phrase_is_not_marked():
    phrase = [_Label("sil", None, None, None, None), _Label("a", 0, 1, 1, 1), _Label("sil", None, None, None, None)]
    assert list(_prosody(phrase)) == ["a"]


def test_voiceless_vowels_are_read_as_voiced():
    phrase = [_Label("s", -1, 1, 2, 2), _Label("U", -1, 1, 2, 2), _Label("k", 0, 2, 1, 2), _Label("i", 0, 2, 1, 2)]
    assert list(_prosody([*phrase, _Label("sil", None, None, None, None)])) == ["s", "u", "[", "k", "i"]


@pytest.mark.parametrize(
    ("written", "letters"),
    [
        ("저는 학교에 갑니다.", "ㅈㅓㄴㅡㄴ空ㅎㅏㄱㄲㅣㅗㅇㅔ空ㄱㅏㅁㄴㅣㄷㅏ."),
        ("사과 3개와", "ㅅㅏㄱㅗㅏ空ㅅㅔㄱㅐㅇㅗㅏ."),
        ("AI", "ㅇㅔㅇㅣㅇㅏㅇㅣ."),
        ("좋은 값이", "ㅈㅗㅇㅡㄴ空ㄱㅏㅂㅆㅣ."),
        ("네！", "ㄴㅔ!"),
    ],
)
def test_korean_is_spelt_as_it_sounds(korean, written, letters):
    assert "".join(korean.read(written, "v2").phones) == letters


@pytest.mark.parametrize(("written", "dropped"), [("네漢😀", "漢😀"), ("\ud7b0네", "\ud7b0"), ("「네」", "")])
def test_korean_tells_what_it_cannot_read(korean, written, dropped):
    assert korean.read(written, "v2").dropped == frozenset(dropped)


def test_the_rules_never_run_the_package_that_downloads(korean):
    korean.read("네", "v2")
    assert not hasattr(sys.modules["g2pk2"], "G2p")
    assert "g2pk2.g2pk2" not in sys.modules
