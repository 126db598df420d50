"""From the caller's language (BCP-47 code and mode) to one of upstream's eleven codes.

Knows nothing of text. The table is the documentation: a pair without a row is refused.
"""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Final

from voxswap_server.domain import Language, LanguageMode
from voxswap_server.errors import UnsupportedLanguage

UPSTREAM_CODES: Final[Mapping[tuple[str, LanguageMode], str]] = MappingProxyType(
    {
        ("zh", LanguageMode.MIXED): "zh",
        ("zh", LanguageMode.ALL): "all_zh",
        ("en", LanguageMode.MIXED): "en",
        ("en", LanguageMode.ALL): "en",
        ("ja", LanguageMode.MIXED): "ja",
        ("ja", LanguageMode.ALL): "all_ja",
        ("ko", LanguageMode.MIXED): "ko",
        ("ko", LanguageMode.ALL): "all_ko",
        ("yue", LanguageMode.MIXED): "yue",
        ("yue", LanguageMode.ALL): "all_yue",
        ("yue", LanguageMode.AUTO_CANTONESE): "auto_yue",
        ("", LanguageMode.MIXED): "auto",
        ("", LanguageMode.AUTO): "auto",
        ("", LanguageMode.AUTO_CANTONESE): "auto_yue",
    }
)
"""(language, mode) → upstream's code. MIXED reads Latin runs as English and the rest as the language; ALL decides so
for every other script too; an empty language is detected run by run."""

CODES_OF_SYMBOLS: Final[Mapping[str, frozenset[str]]] = MappingProxyType(
    {
        "v1": frozenset({"auto", "en", "zh", "ja", "all_zh", "all_ja"}),
        "v2": frozenset(UPSTREAM_CODES.values()),
    }
)
"""Which of upstream's codes an alphabet can speak."""

_SAME_AS: Final[Mapping[str, str]] = MappingProxyType({"cmn": "zh", "und": "", "mul": ""})


def upstream_code(language: Language, symbols: str) -> str:
    """Upstream's code for a language, for a voice of this alphabet.

    Args:
        language: a BCP-47 code ("zh", "en-GB", "yue-HK"; "" detects) and its mode. Only the primary language counts,
            except that "zh-yue" is Cantonese.
        symbols: the alphabet of the voice, "v1" or "v2".

    Raises:
        UnsupportedLanguage: the pair has no row, or the alphabet cannot speak it. The message lists the choices.
    """
    code = UPSTREAM_CODES.get((_primary(language.code), language.mode))
    if code in CODES_OF_SYMBOLS[symbols]:
        return str(code)
    rows = [row for row, choice in UPSTREAM_CODES.items() if choice in CODES_OF_SYMBOLS[symbols]]
    choices = ", ".join(f"{name or 'empty'} ({mode})" for name, mode in rows)
    raise UnsupportedLanguage(
        f"this voice cannot speak language {language.code!r} in mode {language.mode.value!r}; choices: {choices}",
        field="language_code",
    )


def prompt_code(language: Language, symbols: str) -> str:
    """The same for the transcript of reference audio.

    Raises:
        UnsupportedLanguage: as `upstream_code`; it is about the prompt.
    """
    try:
        return upstream_code(language, symbols)
    except UnsupportedLanguage as error:
        error.field = "prompt.language_code"
        raise


def _primary(code: str) -> str:
    subtags = code.strip().lower().replace("_", "-").split("-")
    if subtags[:2] == ["zh", "yue"]:
        return "yue"
    return _SAME_AS.get(subtags[0], subtags[0])
