"""How many of something: the number before a measure word."""

import pytest

from voxswap_server.text.chinese.normalise import CANTONESE, SpokenChinese


@pytest.mark.parametrize(
    ("text", "spoken"),
    [
        ("记得带上2本书！", "记得带上两本书!"),
        ("2多个", "两多个"),
        ("12本书", "十二本书"),
        ("200个", "二百个"),
        ("2.5个", "二点五个"),
        ("3+个", "三多个"),
    ],
)
def test_two_of_something_are_liang(text, spoken):
    assert SpokenChinese().normalise(text)[0] == spoken


def test_mandarin_keeps_one_mark_of_a_row_and_cantonese_all():
    assert SpokenChinese().normalise("好！！～～")[0] == "好!"
    assert SpokenChinese(CANTONESE).normalise("好！！～～")[0] == "好!!--"
