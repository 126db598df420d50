"""Mandarin and Cantonese: what is spoken, and by which phones."""

import pytest
from pypinyin import Style, lazy_pinyin, pinyin_dict

from voxswap_server.text.cantonese import CantoneseReader
from voxswap_server.text.chinese import ChineseReader, pinyin
from voxswap_server.text.chinese.words import _erhua
from voxswap_server.text.symbols import SYMBOLS


@pytest.fixture(scope="module")
def mandarin():
    return ChineseReader()


@pytest.fixture(scope="module")
def cantonese():
    return CantoneseReader()


@pytest.mark.parametrize(
    ("initial", "final", "phones"),
    [
        ("zh", "i1", ("zh", "ir1")),
        ("s", "i4", ("s", "i04")),
        ("j", "v2", ("j", "v2")),
        ("q", "van2", ("q", "van2")),
        ("", "i3", ("y", "i3")),
        ("", "ian2", ("y", "En2")),
        ("", "ie4", ("y", "E4")),
        ("", "iou3", ("y", "ou3")),
        ("", "van2", ("y", "van2")),
        ("", "ing2", ("y", "ing2")),
        ("", "u3", ("w", "u3")),
        ("", "uen2", ("w", "en2")),
        ("", "an1", ("AA", "an1")),
        ("", "er2", ("EE", "er2")),
        ("", "ou1", ("OO", "ou1")),
        ("g", "uei4", ("g", "ui4")),
        ("l", "iou2", ("l", "iu2")),
        ("x", "ian1", ("x", "ian1")),
    ],
)
def test_a_syllable_is_an_initial_and_a_toned_final(initial, final, phones):
    assert pinyin.phones(initial, final) == phones


def test_every_syllable_of_common_characters_is_in_both_alphabets():
    characters = "".join(map(chr, range(0x4E00, 0x9FA6)))
    initials = lazy_pinyin(characters, style=Style.INITIALS, neutral_tone_with_five=True)
    finals = lazy_pinyin(characters, style=Style.FINALS_TONE3, neutral_tone_with_five=True)
    assert len(finals) == len(characters) <= len(pinyin_dict.pinyin_dict)
    phones = {phone for pair in zip(initials, finals, strict=True) if pair[1] for phone in pinyin.phones(*pair)}
    assert phones - set(SYMBOLS["v1"].names) <= RARE_SYLLABLES


RARE_SYLLABLES = {"E2", "io1"}
"""Finals of interjections (欸, 哟) that the alphabets lack; they become UNK."""


@pytest.mark.parametrize(
    ("written", "spoken"),
    [
        ("一共58.5元。", "一共五十八点五元."),
        ("2024年5月6日上午9:30", "二零二四年五月六日上午九点半"),
        ("-5℃到60%", "零下五度到百分之六十"),
        ("比例是3/4", "比例是四分之三"),
        ("400-820-8820", "四零零减八二零减八八二零"),
        ("3+5=8", "三加五等于八"),
        ("x²", "的二次方"),
        ("版本1.2.3", "版本一点二点三"),
        ("3~5天", "三到五天"),
        ("3～5天", "三…五天"),
        ("3-5天", "三减五天"),
        ("40%~60%", "百分之四十至百分之六十"),
        ("3.20元", "三点二零元"),
        ("9:30-10:15", "九点半至十点半"),
        ("36.5摄氏度", "三十六点五度"),
        ("x³+y²=z", "的三次方加的二次方等于"),
        ("第100处", "第一百处"),
        ("50km/h", "五十千米每"),
        ("α与Ω①", "阿尔法与欧米伽一"),
        ("$5", ".五"),
        ("好～", "好…"),
        ("等等……", "等等…"),
        ("《维天之命》，於穆不已", "维天之命,於穆不已"),
        ("嗯、呣：行；", "恩,母,行,"),
        ("揚之水", "扬之水"),
        ("１２个", "十二个"),
    ],
)
def test_text_is_written_as_it_is_spoken(mandarin, written, spoken):
    assert mandarin.read(written, "v2").norm_text == spoken


@pytest.mark.parametrize(
    ("written", "phones"),
    [
        ("你好", "n i2 h ao3"),
        ("一个人不要", "y i2 g e5 r en2 b u2 y ao4"),
        ("妈妈走了", "m a1 m a5 z ou3 l e5"),
        ("银行行长", "y in2 h ang2 h ang5 zh ang3"),
    ],
)
def test_tones_change_in_company(mandarin, written, phones):
    assert " ".join(mandarin.read(written, "v2").phones) == phones


@pytest.mark.parametrize(
    ("word", "finals", "spoken"),
    [
        ("一点儿", ["i4", "ian3", "er2"], "er3"),
        ("女儿", ["v3", "er2"], "er2"),
        ("儿", ["er2"], "er2"),
        ("玩儿", ["uan2", "er5"], "er2"),
        ("婴幼儿", ["ing1", "iou4", "er2"], "er2"),
        ("媳妇儿", ["i2", "u4", "er2"], "er4"),
    ],
)
def test_a_suffix_er_follows_the_tone_before_it(word, finals, spoken):
    assert _erhua(word, "n", finals)[-1] == spoken


def test_pause_marks_turn_every_comma_into_a_pause(mandarin):
    assert "SP2" in mandarin.read("走，￥停，好", "v2").phones
    assert mandarin.read("走，^停", "v2").phones.count("SP3") == 1  # two commas in a row are one
    assert "," in mandarin.read("走，停", "v2").phones


@pytest.mark.parametrize("text", ["他昨天买了3本书，花了58.5元！", "我😀们abc", "玁狁匈奴", "…，。"])
def test_each_character_has_its_count_of_phones(mandarin, cantonese, text):
    for reader in (mandarin, cantonese):
        reading = reader.read(text, "v2")
        assert len(reading.word2ph) == len(reading.norm_text)
        assert sum(reading.word2ph) == len(reading.phones)


def test_what_is_left_out_is_told(mandarin):
    assert mandarin.read("我😀们abcあ", "v2").dropped == frozenset("😀abcあ")
    assert not mandarin.read("“好”（的）", "v2").dropped


@pytest.mark.parametrize(
    ("written", "phones"),
    [
        ("你好", "Yn Yei5 Yh You2"),
        ("唔該", "Ym Ym4 Yg Yoi1"),
        ("我呀", "Yng Yo5 Yaa Ya3"),
        ("屋企。", "Yuk Yk1 Yk Yei2 ."),
        ("五", "Yng Yg5"),
    ],
)
def test_jyutping_is_an_onset_and_a_toned_rime(cantonese, written, phones):
    assert " ".join(cantonese.read(written, "v2").phones) == phones
