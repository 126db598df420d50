"""Tones in company, one rule at a time; words and their readings are given, so no dictionary settles anything."""

import pytest

from voxswap_server.text.chinese.sandhi import Sandhi

READINGS = {
    "你": "i3", "好": "ao3", "我": "uo3", "想": "iang3", "买": "ai3", "雨": "v3", "伞": "an3", "水": "uei3",
    "不": "u4", "怕": "a4", "看": "an4", "懂": "ong3", "一": "i1", "天": "ian1", "段": "uan4", "第": "i4",
    "奶": "ai3", "人": "en2", "个": "e4", "两": "iang3", "里": "i3", "家": "ia1", "了": "e5", "的": "e5",
    "子": "i3", "学": "ve2", "生": "eng1", "来": "ai2", "出": "u1", "儿": "er2", "花": "ua1", "，": "，",
}  # fmt: skip


def readings(word: str) -> list[str]:
    return [READINGS[char] for char in word]


def search(word: str) -> list[str]:
    """Two characters at a time from the front, as a dictionary of such words would have it."""
    return [word[at : at + 2] for at in range(0, len(word), 2)]


@pytest.fixture(scope="module")
def sandhi() -> Sandhi:
    return Sandhi(search, readings)


@pytest.mark.parametrize(
    ("words", "merged"),
    [
        ("不:d 怕:v", "不怕:v"),
        ("怕:v 不:d", "怕:v 不:d"),
        ("不:d ，:x", "不，:x"),
        ("看:v 一:m 看:v", "看一看:v"),
        ("看:n 一:m 看:v", "看:n 一看:m"),
        ("一:m 天:q", "一天:m"),
        ("人:n 人:n", "人人:n"),
        ("你:r 好:a", "你好:r"),
        ("我:r 想:v 买:v", "我想买:r"),
        ("奶奶:n 好:a", "奶奶:n 好:a"),
        ("花:n 儿:n", "花儿:n"),
        ("家里:s 水:n", "家里水:s"),
    ],
)
def test_words_that_are_read_as_one(sandhi: Sandhi, words: str, merged: str) -> None:
    pairs = [(word, kind) for word, _, kind in (pair.partition(":") for pair in words.split())]
    assert " ".join(f"{word}:{kind}" for word, kind in sandhi.merged(pairs)) == merged


@pytest.mark.parametrize(
    ("word", "kind", "toned"),
    [
        ("不怕", "v", "u2 a4"),
        ("看不懂", "v", "an4 u5 ong3"),
        ("一天", "m", "i4 ian1"),
        ("一段", "m", "i2 uan4"),
        ("一", "m", "i1"),
        ("一，", "m", "i1 ，"),
        ("第一天", "m", "i4 i1 ian1"),
        ("看一看", "v", "an4 i5 an4"),
        ("奶奶", "n", "ai3 ai5"),
        ("人人", "n", "en2 en2"),
        ("两个", "m", "iang3 e5"),
        ("家里", "s", "ia1 i5"),
        ("家里", "n", "ia1 i3"),
        ("出来", "v", "u1 ai5"),
        ("学生", "n", "ve2 eng5"),
        ("你好", "l", "i2 ao3"),
        ("雨伞水", "n", "v2 an2 uei3"),
        ("水雨伞", "n", "uei2 v2 an3"),
        ("天雨伞", "n", "ian1 v3 an3"),
        ("雨伞你好", "n", "v2 an3 i2 ao3"),
    ],
)
def test_tones_of_a_word(sandhi: Sandhi, word: str, kind: str, toned: str) -> None:
    assert " ".join(sandhi.toned(word, kind, readings(word))) == toned


def test_what_has_no_reading_is_left_as_it_is(sandhi: Sandhi) -> None:
    assert sandhi.toned("你好", "l", ["i3"]) == ["i3"]
    assert sandhi.toned("你好", "l", ["", "ao3"]) == ["", "ao3"]
