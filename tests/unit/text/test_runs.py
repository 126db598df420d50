"""Language runs: what the detector says is corrected by script and neighbours."""

import pytest

from voxswap_server.text.detector import UNKNOWN, Piece
from voxswap_server.text.runs import RunFinder, _by_script, _name_numbers, _name_unknown


@pytest.fixture(scope="module")
def finder():
    return RunFinder()


@pytest.mark.parametrize(
    ("code", "runs"),
    [
        ("en", [("en", "今天的meeting改到3点，안녕。")]),
        ("zh", [("zh", "今天的"), ("en", "meeting"), ("zh", "改到3点，안녕。")]),
        ("yue", [("yue", "今天的"), ("en", "meeting"), ("yue", "改到3点，안녕。")]),
        ("all_ja", [("ja", "今天的"), ("en", "meeting"), ("ja", "改到3点，안녕。")]),
        ("all_yue", [("yue", "今天的"), ("en", "meeting"), ("yue", "改到3点，안녕。")]),
    ],
)
def test_a_code_decides_what_its_runs_are_spoken_as(finder, code, runs):
    assert finder.runs("今天的meeting改到3点，안녕。", code) == runs


def test_detection_tells_scripts_apart(finder):
    assert [language for language, _ in finder.runs("안녕하세요, こんにちは, hello there", "auto")] == [
        "ko",
        "ja",
        "en",
    ]


def test_cantonese_detection_speaks_chinese_as_cantonese(finder):
    assert finder.runs("今天天气真不错。", "auto") == [("zh", "今天天气真不错。")]
    assert finder.runs("今天天气真不错。", "auto_yue") == [("yue", "今天天气真不错。")]


@pytest.mark.parametrize("text", ["", " ", "\n", "。", "...", "「」", "12"])
def test_a_text_without_letters_never_has_a_foreign_kind_of_run(finder, text):
    for code in ("auto", "zh", "all_ko"):
        assert {language for language, _ in finder.runs(text, code)} <= {"zh", "en", "ja", "ko"}


def test_kana_and_hangul_are_cut_out_of_other_text():
    assert _by_script(Piece("zh", "我说こんにちは和안녕吧")) == [
        Piece("zh", "我说"), Piece("ja", "こんにちは"), Piece("zh", "和"), Piece("ko", "안녕"), Piece("zh", "吧"),
    ]  # fmt: skip
    assert _by_script(Piece("x", "按钮。")) == [Piece("zh", "按钮。")]
    assert _by_script(Piece("x", "żółw")) == [Piece("x", "żółw")]


@pytest.mark.parametrize(
    ("left", "number", "right", "language"),
    [
        ("zh:买了", "3", "zh:本", "zh"),
        ("zh:好。", "3", "ja:です", "ja"),
        ("zh:好", "3", "ja:，でした", "zh"),
        ("zh:好", "3", "ja:。で", "zh"),
        ("zh:好", "3。", "ja:とても長い", "zh"),
        ("zh:好", "3", "ja:とても長い", "ja"),
        ("zh:很长的话", "3", "ja:です", "zh"),
        (None, "3", "ja:です", "ja"),
        ("ko:배", "3", None, "ko"),
        (None, "3", None, "zh"),
    ],
)
def test_a_number_follows_a_neighbour(left, number, right, language):
    pieces = [Piece(*side.split(":")) for side in (left,) if side]
    pieces.append(Piece("digit", number))
    pieces += [Piece(*side.split(":")) for side in (right,) if side]
    # two pieces of one language join, so ask which language the number's text is in
    spoken = next(piece.language for piece in _name_numbers(pieces) if number in piece.text)
    assert spoken == language


def test_unknown_text_joins_what_is_before_it_or_else_after():
    assert _name_unknown([Piece("en", "a "), Piece("x", "żó")]) == [Piece("en", "a żó")]
    assert _name_unknown([Piece("x", "żó "), Piece("ko", "배")]) == [Piece("ko", "żó 배")]
    assert _name_unknown([Piece("x", "żó")]) == [Piece("zh", "żó")]


def test_of_unknown_text_only_what_can_be_chinese_is_kept():
    assert _by_script(Piece(UNKNOWN, "é（笑）哈，哈。")) == [Piece("zh", "笑哈哈。")]
    assert _by_script(Piece(UNKNOWN, "é（ñ）")) == [Piece(UNKNOWN, "é（ñ）")]


def test_marks_after_kana_belong_to_it():
    assert _by_script(Piece("zh", "他说こんにちは。然后")) == [
        Piece("zh", "他说"),
        Piece("ja", "こんにちは。"),
        Piece("zh", "然后"),
    ]
