"""Custom pronunciations: alphabets to phones, refusals, and where phrases are found."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from voxswap_server.domain import PhoneticEncoding, Pronunciation
from voxswap_server.errors import RequestError
from voxswap_server.text.pronunciations import PLAIN, laid_over, lexicon
from voxswap_server.text.reading import Spoken
from voxswap_server.text.symbols import SYMBOLS

PHONES, PINYIN, KANA, ARPABET, JYUTPING = PhoneticEncoding


def only(phrase, said, encoding=PHONES, symbols="v2"):
    (entry,) = lexicon([Pronunciation(phrase, said, encoding)], symbols).entries
    return entry


@pytest.mark.parametrize(
    ("encoding", "said", "language", "units"),
    [
        (PHONES, "ㅅ  ㅓ", None, "ㅅ|ㅓ"),
        (PHONES, "k o [ n", None, "k|o|[|n"),
        (ARPABET, "n ay1 k", "en", "N|AY1|K"),
        (PINYIN, "chong2 qing4", "zh", "ch ong2|q ing4"),
        (PINYIN, "Chong2qing4", "zh", "ch ong2|q ing4"),
        (PINYIN, "lü4 lv4 lu:4 yuan2 shi4 er5", "zh", "l v4|l v4|l v4|y van2|sh ir4|EE er5"),
        (JYUTPING, "cung4 hing3", "yue", "Yc Yung4|Yh Ying3"),
    ],
)
def test_alphabets(encoding, said, language, units):
    entry = only("word", said, encoding)
    assert entry.language == language
    assert entry.units == tuple(tuple(unit.split()) for unit in units.split("|"))
    assert all(phone in SYMBOLS["v2"] for unit in entry.units for phone in unit)


def test_kana_is_read_in_place_of_the_phrase():
    assert only("日本", "にっ ぽん", KANA).kana == "ニッポン"


@pytest.mark.parametrize(
    ("encoding", "said", "value", "choices"),
    [
        (PHONES, "N IH7", "'IH7'", "nearest of its 731: IH IH2"),
        (PHONES, "UNK", "'UNK'", "nearest"),
        (ARPABET, "N AY K", "'AY'", "AY2"),
        (ARPABET, "AA", "'AA'", "AA2"),  # the alphabet has it, for Mandarin
        (PINYIN, "chong", "'chong'", "chong2 qing4"),
        (PINYIN, "ma6", "'ma6'", "1 2 3 4 5"),
        (PINYIN, "qqq1", "'qqq1'", "initials: b p"),
        (PINYIN, "重1", "'重1'", "chong2"),
        (KANA, "ニッポンx", "'x'", "hiragana or katakana"),
        (JYUTPING, "hoeng7", "'hoeng7'", "1 2 3 4 5 6"),
        (JYUTPING, "xx1", "'xx1'", "hoeng1"),
        (PHONES, "  ", "'word'", "empty"),
    ],
)
def test_what_is_not_of_its_alphabet_is_refused_with_the_choices(encoding, said, value, choices):
    fine = Pronunciation("fine", "N")
    with pytest.raises(RequestError) as caught:
        lexicon([fine, Pronunciation("word", said, encoding)], "v2")
    assert caught.value.field == "custom_pronunciations[1].pronunciation"
    assert value in caught.value.message
    assert choices in caught.value.message


def test_an_alphabet_without_the_language_says_so():
    with pytest.raises(RequestError, match=r"no jyutping phones.*alphabet v1 is without Yc, Yung4"):
        lexicon([Pronunciation("重", "cung4", JYUTPING)], "v1")


@given(st.sampled_from(PhoneticEncoding), st.text(max_size=12), st.sampled_from(["v1", "v2"]))
def test_any_pronunciation_gives_phones_of_the_voice_or_a_refusal(encoding, said, symbols):
    try:
        entry = only("word", said, encoding, symbols)
    except RequestError as error:
        refused = error.field
    else:
        refused = ""
        assert entry.kana or entry.units
        assert all(phone in SYMBOLS[symbols] for unit in entry.units for phone in unit)
    assert refused in {"", "custom_pronunciations[0].pronunciation"}


@pytest.mark.parametrize(
    ("phrases", "text", "found"),
    [
        (["cat"], "Cat, CAT; concat cats cat's", ["Cat", "CAT", "cat"]),
        (["cat"], "这cat很好", ["cat"]),
        (["new", "new york", "york"], "New York, new yorkers", ["New York", "new"]),
        (["重庆"], "我在重庆吃", ["重庆"]),
        (["京", "東京"], "東京と京都", ["東京", "京"]),
        (["서울"], "서울은 남서울 서울", ["서울", "서울"]),
        (["c++", "a.b"], "c++ aXb a.b", ["c++", "a.b"]),
        ([], "text", []),
    ],
)
def test_phrases_are_whole_words_or_substrings_and_the_longest_wins(phrases, text, found):
    words = lexicon([Pronunciation(phrase, "N") for phrase in phrases], "v2")
    assert [text[start:end] for start, end, _ in words.matches(text)] == found


def test_those_of_the_request_come_before_those_of_the_voice():
    voice = lexicon([Pronunciation("Cat", "N"), Pronunciation("dog", "M")], "v2")
    both = lexicon([Pronunciation("cat", "K")], "v2", below=voice)
    assert [entry.units for _, _, entry in both.matches("cat dog")] == [(("K",),), (("M",),)]
    assert lexicon([], "v2", below=voice) is voice


def test_runs_stay_as_they_are_around_a_phrase():
    runs = [("en", "A"), ("zh", "股今天涨了。"), ("en", "ok")]
    words = lexicon([Pronunciation("A股", "a1 gu3", PINYIN), Pronunciation("今天", "JH", ARPABET)], "v2")
    assert laid_over(runs, words) == [
        ("zh", Spoken("A股", (("AA", "a1"), ("g", "u3")))),
        ("en", Spoken("今天", (("JH",),))),
        ("zh", "涨了。"),
        ("en", "ok"),
    ]
    assert laid_over(runs, PLAIN) == runs


@given(st.lists(st.tuples(st.sampled_from(["en", "zh"]), st.text("abc 中", min_size=1, max_size=6)), max_size=5))
def test_nothing_of_a_text_is_lost_or_moved(runs):
    words = lexicon([Pronunciation("ab", "N"), Pronunciation("中", "M"), Pronunciation("c 中", "K")], "v2")
    pieces = laid_over(runs, words)
    text = "".join(run for _, run in runs)
    assert "".join(part.phrase if isinstance(part, Spoken) else part for _, part in pieces) == text


@given(st.lists(st.lists(st.sampled_from("abc"), min_size=1, max_size=3), max_size=6), st.integers(1, 8))
def test_phones_are_shared_out_in_order(units, characters):
    spoken = Spoken("x" * characters, tuple(map(tuple, units)))
    shares = spoken.shared_out(characters)
    assert len(shares) == characters
    assert sum(shares, ()) == spoken.phones
