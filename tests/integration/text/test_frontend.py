"""The front-end as the engine uses it: every text ends in phones or in a typed error, and nothing is lost unsaid."""

import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from voxswap_server.domain import CutMethod
from voxswap_server.errors import RequestError, TextTooLong
from voxswap_server.text.cuts import SPLITTERS
from voxswap_server.text.frontend import LONGEST_CHARS, TextFrontend
from voxswap_server.text.languages import CODES_OF_SYMBOLS
from voxswap_server.text.reading import meaningful
from voxswap_server.text.symbols import SYMBOLS

SPOKEN_PAIRS = [(code, symbols) for symbols, codes in sorted(CODES_OF_SYMBOLS.items()) for code in sorted(codes)]
NASTY = "abXY019.,-+~:/%$£￥^° '’\"中不儿个了上下五，。！？…—あアんー「」가힣ㄱᆨ٣²½①Ⅷ\u200b\n\t😀éßж𠮷\ud7b0々\x00\xad"
TEXTS = st.one_of(st.text(max_size=60), st.text(st.sampled_from(NASTY), max_size=80))
many = settings(max_examples=120, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])


@pytest.fixture(scope="session", autouse=True)
def _loaded(frontend):
    frontend.warm_up(["en", "zh", "ja", "ko", "yue"])


@many
@given(TEXTS, st.sampled_from(SPOKEN_PAIRS))
def test_any_text_gives_phones_or_a_typed_error(frontend, text, pair):
    code, symbols = pair
    try:
        utterance = frontend.analyse(text, code, symbols)
    except RequestError:
        return
    assert utterance.phones
    assert max(utterance.phones) < len(SYMBOLS[symbols].names)
    assert utterance.phones == tuple(row for run in utterance.runs for row in SYMBOLS[symbols].ids(run.phones))
    # work and output stay in proportion: numbers grow most when they are written out
    assert len(utterance.phones) <= 40 * (len(text) + 2)
    for run in utterance.runs:
        if run.word2ph is not None:
            assert len(run.word2ph) == len(run.norm_text)
            assert sum(run.word2ph) == len(run.phones)


@many
@given(TEXTS, st.sampled_from(CutMethod), st.booleans())
def test_what_no_segment_holds_is_told(frontend, text, method, collapse):
    try:
        segments = frontend.segment(text, "auto", method, collapse=collapse)
    except RequestError:
        return
    lost = meaningful(text) - meaningful("".join(segments))
    told = "".join(notice.message for notice in frontend.left_out(text, segments))
    assert bool(lost) <= bool(told)
    assert not any(char.isalnum() for char in lost)


def test_a_piece_of_symbols_alone_is_no_segment_but_is_told(frontend):
    text = "Hello there. 😀😀😀😀😀😀. Good bye."
    segments = frontend.segment(text, "en", CutMethod.PUNCTUATION)
    assert segments == ["Hello there.", " Good bye."]
    (notice,) = frontend.left_out(text, segments)
    assert "😀" in notice.message


def test_unread_characters_are_told_with_a_stable_code(frontend):
    utterance = frontend.analyse("Good morning 世界 and 😀 you.", "en", "v2")
    (notice,) = utterance.notices
    assert notice.code == "CHARACTERS_NOT_READ"
    assert "'世界😀'" in notice.message
    assert not frontend.analyse('He said: "good morning" (twice).', "en", "v2").notices


def test_a_language_that_the_alphabet_lacks_is_told_not_babbled(frontend):
    utterance = frontend.analyse("Good morning everyone, 안녕하세요.", "auto", "v1")
    assert [run.language for run in utterance.runs] == ["en"]
    assert "안" in utterance.notices[0].message
    with pytest.raises(RequestError, match="nothing that 'auto' can read"):
        frontend.analyse("안녕하세요.", "auto", "v1")


@pytest.mark.parametrize("text", ["", "   ", "...", "😀", "。！？"])
def test_nothing_to_speak_is_a_typed_error(frontend, text):
    with pytest.raises(RequestError, match="nothing"):
        frontend.segment(text, "en", CutMethod.PUNCTUATION)
    with pytest.raises(RequestError, match="nothing"):
        frontend.analyse(text, "en", "v2")


def test_a_short_utterance_is_read_again_with_a_stop_before_it(frontend):
    assert frontend.analyse("好", "zh", "v2").norm_text == ".好"
    assert frontend.analyse("好天气真不错", "zh", "v2").norm_text == "好天气真不错"


@pytest.mark.parametrize(
    ("text", "code", "closed"), [("Hello world", "en", "."), ("你好世界", "zh", "。"), ("Hi!", "en", "!")]
)
def test_a_prompt_is_one_utterance_with_a_final_stop(frontend, text, code, closed):
    utterance = frontend.prompt(f"\n{text}\n", code, "v2")
    assert utterance.text.endswith(closed)
    assert utterance.text[-1] in SPLITTERS


@pytest.mark.parametrize("text", ["word " * 200, "____"])
def test_what_is_wrong_with_a_prompt_is_told_of_the_prompt(frontend, text):
    with pytest.raises(RequestError) as refusal:
        frontend.prompt(text, "en", "v2")
    assert refusal.value.field == "prompt.transcript"


def test_digits_of_other_scripts_are_read(frontend):
    assert frontend.analyse("١٢ apples today", "en", "v2").norm_text == "twelve apples today"
    assert "十二" in frontend.analyse("今天买了१२个苹果", "zh", "v2").norm_text


@pytest.mark.parametrize(
    ("text", "code"),
    [("a", "en"), ("1", "en"), ("1/", "en"), ("'s", "en"), ("ab ", "auto"), ("好", "zh"), ("か", "ja"), ("가", "ko")],
)
def test_long_and_repetitive_text_is_read_in_one_go(frontend, text, code):
    assert len(frontend.analyse(text * (LONGEST_CHARS // len(text)), code, "v2").phones) > 20


def test_text_without_marks_is_cut_at_blanks_and_else_at_the_limit(frontend):
    words = frontend.segment("word " * 1000, "en", CutMethod.NONE)
    assert [len(segment) for segment in words] == [510] * 9 + [410]
    assert "".join(words).split() == ["word"] * 1000
    solid = frontend.segment("好" * 1300, "zh", CutMethod.PUNCTUATION)
    assert [len(segment) for segment in solid] == [512, 512, 276]


def test_more_than_one_utterance_in_one_go_is_refused(frontend):
    with pytest.raises(TextTooLong, match="600 characters; at most 512"):
        frontend.analyse("好" * 600, "zh", "v2")


def test_threads_read_what_one_thread_reads(frontend):
    texts = [
        ("今天hello 3个안녕", "auto"),
        ("The 2 cats' toys", "en"),
        ("我5点走", "yue"),
        ("学校の前に", "ja"),
        ("값이 3개", "ko"),
    ]
    alone = [frontend.analyse(text, code, "v2") for text, code in texts]
    fresh = TextFrontend()
    with ThreadPoolExecutor(8) as pool:
        together = list(pool.map(lambda pair: fresh.analyse(*pair, "v2"), texts * 8))
    assert together == alone * 8


def test_it_works_without_torch_and_without_a_network():
    program = (
        "import socket, sys\n"
        "def refuse(*_): raise OSError('no network')\n"
        "socket.socket.connect = refuse\n"
        "from voxswap_server.text.frontend import TextFrontend\n"
        "TextFrontend().warm_up(['en', 'zh', 'ja', 'ko', 'yue'])\n"
        "assert 'torch' not in sys.modules\n"
        "assert not {'g2p_en', 'pronouncing'} & sys.modules.keys()\n"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stderr
    assert not done.stdout


def test_letters_that_no_run_kept_are_told(frontend):
    utterance = frontend.analyse("（é ñ）笑哈哈", "auto", "v2")
    assert utterance.norm_text == "笑哈哈"
    assert [notice.code for notice in utterance.notices] == ["CHARACTERS_NOT_READ"]
    assert "é" in utterance.notices[0].message
