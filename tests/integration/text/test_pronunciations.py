"""Custom pronunciations and the normaliser's switch in every language: the phrase changes, its sentence does not."""

import re
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from voxswap_server.domain import PhoneticEncoding, Pronunciation
from voxswap_server.errors import RequestError
from voxswap_server.text.pronunciations import lexicon
from voxswap_server.text.symbols import SYMBOLS
from voxswap_server.text.utterances import Manner

PHONES, PINYIN, KANA, ARPABET, JYUTPING = PhoneticEncoding


def runs(frontend, text, code, *said, symbols="v2", spell_out=True):
    words = lexicon([Pronunciation(*one) for one in said], symbols)
    return frontend.analyse(text, code, symbols, Manner(words, spell_out=spell_out)).runs


def phones(found):
    return " ".join(phone for run in found for phone in run.phones)


@pytest.mark.parametrize(
    ("text", "code", "said", "before", "after"),
    [
        ("My Nikki's dog sat here.", "en", ("nikki", "N AY1 K IY0", ARPABET), "N IH1 K IY0 Z", "N AY1 K IY0 Z"),
        ("我在重庆吃火锅2次。", "zh", ("重庆", "zhong4 qing4", PINYIN), "ch ong2 q ing4", "zh ong4 q ing4"),
        ("我在重慶吃火鍋。", "zh", ("重慶", "zhong4 qing4", PINYIN), "ch ong2 q ing4", "zh ong4 q ing4"),
        ("我在重庆吃火锅。", "yue", ("重庆", "zung6 hing3", JYUTPING), "Yc Yung4", "Yz Yung6"),
        ("高い橋を渡る。", "ja", ("橋", "やま", KANA), "h a", "y a"),
        ("저는 서울에 살아요", "ko", ("서울", "ㅅ ㅓ"), "ㅅ ㅓ ㅇ ㅜ ㄹ ㅔ", "ㅅ ㅓ ㅇ ㅔ"),
    ],
)
def test_a_phrase_is_said_as_given_within_its_run(frontend, text, code, said, before, after):
    usual, custom = runs(frontend, text, code), runs(frontend, text, code, said)
    assert before in phones(usual)
    assert before not in phones(custom)
    assert after in phones(custom)
    assert [run.language for run in custom] == [run.language for run in usual]
    start, end = phones(usual).split(before, 1)
    if said[-1] is not KANA:  # what is around kana keeps its phones, yet pitch may move
        assert phones(custom).startswith(start)
        assert phones(custom).endswith(end)


def test_bert_still_finds_the_phones_of_each_character(frontend):
    for said in (("重庆", "chong2 qing4", PINYIN), ("重庆", "zh ong4 q ing4 UW0"), ("重庆", "zhong4", PINYIN)):
        (run,) = runs(frontend, "我在重庆，吃2顿。", "zh", said)
        assert run.norm_text == "我在重庆,吃二顿."
        assert run.word2ph is not None
        assert len(run.word2ph) == len(run.norm_text)
        assert sum(run.word2ph) == len(run.phones)
        assert run.word2ph[:2] == (2, 2)
        assert run.word2ph[4:] == (1, 2, 2, 2, 1)


def test_phones_of_another_language_are_a_run_of_their_own(frontend):
    found = runs(frontend, "我在重庆吃火锅。", "zh", ("重庆", "CH AH0 NG", ARPABET))
    assert [(run.language, run.norm_text) for run in found] == [("zh", "我在"), ("en", "重庆"), ("zh", "吃火锅.")]
    assert found[1].phones == ("CH", "AH0", "NG")


def test_a_symbol_can_be_given_a_sound(frontend):
    found = runs(frontend, "我爱★你们", "all_zh", ("★", "xing1", PINYIN))
    assert "x ing1" in phones(found)
    assert all(run.word2ph is None or len(run.word2ph) == len(run.norm_text) for run in found)


def test_a_voice_without_the_language_can_still_say_given_phones(frontend):
    (run, *_) = runs(frontend, "서울", "auto", ("서울", "s o u r u"), symbols="v1")
    assert run.phones == ("s", "o", "u", "r", "u")


@pytest.mark.parametrize(
    ("text", "code", "spoken", "told"),
    [
        ("I have 23 dogs in all.", "en", "twenty", "'23'"),
        ("我有23只狗。", "zh", "二", "'23'"),
        ("我有23隻狗。", "yue", "二", "'23'"),
        ("개 23마리가 있다.", "ko", "", "'23'"),
    ],
)
def test_without_the_normaliser_numbers_are_told_and_not_spoken(frontend, text, code, spoken, told):
    usual = frontend.analyse(text, code, "v2")
    plain = frontend.analyse(text, code, "v2", Manner(spell_out=False))
    assert spoken in usual.norm_text
    assert not usual.notices
    assert len(plain.phones) < len(usual.phones) or code == "ko"
    assert told in plain.notices[0].message
    if code != "ko":
        assert not any(char in plain.norm_text for char in "23二")


def test_without_the_normaliser_words_are_read_as_ever(frontend):
    for text, code in (("Good morning to you all.", "en"), ("今天天气真不错。", "zh"), ("犬がいる。", "ja")):
        plain = frontend.analyse(text, code, "v2", Manner(spell_out=False))
        assert plain.phones == frontend.analyse(text, code, "v2").phones


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    st.text("ab 中不重庆。，1가あ'", max_size=20),
    st.sampled_from(["auto", "zh", "all_ja", "ko", "yue", "en"]),
    st.booleans(),
)
def test_any_text_with_phrases_gives_phones_or_a_typed_error(frontend, text, code, spell_out):
    said = [("重庆", "zhong4 qing4", PINYIN), ("a", "EY1", ARPABET), ("中", "k o"), ("가", "ㄱ ㅏ"), ("あ", "い", KANA)]
    try:
        found = runs(frontend, text, code, *said, spell_out=spell_out)
    except RequestError:
        return
    for run in found:
        assert all(phone in SYMBOLS["v2"] for phone in run.phones)
        if run.word2ph is not None:
            assert len(run.word2ph) == len(run.norm_text)
            assert sum(run.word2ph) == len(run.phones)


def test_the_examples_of_the_page_are_true(frontend):
    page = Path("docs/LANGUAGES.md").read_text("utf-8")
    rows = re.findall(r"^\| ([^|]+) \| `(\w+)` \| (\S+) \| (\w+) \| `([^`]+)` \| `([^`]+)` \|$", page, re.MULTILINE)
    assert {row[3] for row in rows} == set(PhoneticEncoding)
    told = {
        text: phones(runs(frontend, text, code, (phrase, said, PhoneticEncoding(encoding))))
        for text, code, phrase, encoding, said, _ in rows
    }
    assert told == {text: expected for text, *_, expected in rows}
