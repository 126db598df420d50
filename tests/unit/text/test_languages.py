import re
from pathlib import Path

import pytest

from voxswap_server.domain import Language, LanguageMode
from voxswap_server.errors import UnsupportedLanguage
from voxswap_server.text.languages import CODES_OF_SYMBOLS, UPSTREAM_CODES, upstream_code


@pytest.mark.parametrize(
    ("code", "mode", "upstream"),
    [
        ("en", LanguageMode.MIXED, "en"),
        ("en-GB", LanguageMode.ALL, "en"),
        ("zh-Hans-CN", LanguageMode.MIXED, "zh"),
        ("cmn", LanguageMode.ALL, "all_zh"),
        ("zh-yue", LanguageMode.MIXED, "yue"),
        ("YUE_hk", LanguageMode.ALL, "all_yue"),
        ("", LanguageMode.MIXED, "auto"),
        ("und", LanguageMode.AUTO, "auto"),
        ("", LanguageMode.AUTO_CANTONESE, "auto_yue"),
    ],
)
def test_pairs_map_to_upstreams_codes(code, mode, upstream):
    assert upstream_code(Language(code, mode), "v2") == upstream


def test_all_eleven_codes_are_reachable():
    assert len(set(UPSTREAM_CODES.values())) == 11
    assert set(UPSTREAM_CODES.values()) == CODES_OF_SYMBOLS["v2"]


@pytest.mark.parametrize(
    ("language", "symbols"),
    [
        (Language("fr"), "v2"),
        (Language("en", LanguageMode.AUTO), "v2"),
        (Language("", LanguageMode.ALL), "v2"),
        (Language("ko"), "v1"),
        (Language("", LanguageMode.AUTO_CANTONESE), "v1"),
    ],
)
def test_a_pair_without_a_row_is_refused_with_the_choices(language, symbols):
    with pytest.raises(UnsupportedLanguage, match=r"choices: zh \(mixed\)") as raised:
        upstream_code(language, symbols)
    assert repr(language.code) in str(raised.value)
    assert raised.value.field == "language_code"
    assert ("ko (mixed)" in str(raised.value)) == (symbols == "v2")


def test_the_page_lists_the_table_as_it_is():
    rows = re.findall(
        r"^\| `?(\w+)`? \| (\w+) \| `(\w+)` \|", Path("docs/LANGUAGES.md").read_text("utf-8"), re.MULTILINE
    )
    listed = {("" if code == "empty" else code, LanguageMode(mode)): upstream for code, mode, upstream in rows}
    assert listed == dict(UPSTREAM_CODES)
