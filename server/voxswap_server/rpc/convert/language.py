"""Language codes and modes. Which pairs there are is the front-end's table, not ours."""

from collections.abc import Mapping

from voxswap.v1 import text_pb2
from voxswap_server.domain import Language, LanguageMode
from voxswap_server.errors import UnsupportedLanguage
from voxswap_server.rpc.convert.fields import Fields
from voxswap_server.text.languages import upstream_code

MODES: Mapping[int, LanguageMode | None] = {
    text_pb2.LANGUAGE_MODE_UNSPECIFIED: None,
    text_pb2.LANGUAGE_MODE_MIXED: LanguageMode.MIXED,
    text_pb2.LANGUAGE_MODE_ALL: LanguageMode.ALL,
    text_pb2.LANGUAGE_MODE_AUTO: LanguageMode.AUTO,
    text_pb2.LANGUAGE_MODE_AUTO_CANTONESE: LanguageMode.AUTO_CANTONESE,
}

WIDEST_SYMBOLS = "v2"
"""The symbol table that speaks every language; which one the voice has is not known here."""


def to_language(fields: Fields, prefix: str, code: str, mode: int) -> Language:
    """The language of `<prefix>language_code` and `<prefix>language_mode`. No code and no mode means: detect."""
    chosen = fields.choice(f"{prefix}language_mode", mode, text_pb2.LanguageMode.DESCRIPTOR, MODES)
    language = Language(code, chosen or (LanguageMode.MIXED if code else LanguageMode.AUTO))
    _row(fields, f"{prefix}language_code", language)
    return language


def to_code(fields: Fields, field: str, code: str) -> str:
    """The plain code of a language: "en" for "en-GB", "zh" for "cmn-Hans"."""
    return _row(fields, field, Language(code, LanguageMode.MIXED))  # upstream's mixed codes are the plain ones


def _row(fields: Fields, field: str, language: Language) -> str:
    try:
        return upstream_code(language, WIDEST_SYMBOLS)
    except UnsupportedLanguage as error:
        fields.reject(field, error.message)
        return ""
