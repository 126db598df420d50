"""Cuts a Chinese sentence into words with their kind, and says the tones of each word in its company.

Knows nothing of phones. Words come from jieba, readings from pypinyin (its phrase dictionary settles characters of
several readings), the tone sandhi is PaddleSpeech's as the package `misaki` keeps it.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass

import jieba
import jieba.posseg
from misaki.tone_sandhi import ToneSandhi
from pypinyin import Style, lazy_pinyin

_FULL_TONE = frozenset({"人人", "虎虎"})
_BEFORE_CHILD = frozenset("女男婴幼孤少患胎妻侄孙乞健宠童聋瘫弱血虐护救替为有一我俺花鸟猫狗马猪虫")
"""After these 儿 is a word of its own: a child, or a dear one."""
_NOT_A_WORD, _UNKNOWN_WORD = "x", "X"
_IDEOGRAPHS = re.compile("[\u4e00-\u9fff]+")


@dataclass(frozen=True, slots=True)
class Syllable:
    """One character's reading, or a mark standing for itself."""

    initial: str
    final: str
    """With its tone, 1 to 5, at the end; a mark has it equal to `initial`."""


def load_tokenizer() -> jieba.Tokenizer:
    """A tokenizer of our own with the packaged dictionary, built in memory.

    jieba would keep a cache file in the shared temporary directory and trust whatever it finds there.
    """
    tokenizer = jieba.Tokenizer()
    tokenizer.FREQ, tokenizer.total = tokenizer.gen_pfdict(tokenizer.get_dict_file())
    tokenizer.initialized = True
    return tokenizer


class _Sandhi(ToneSandhi):  # type: ignore[misc]  # the package ships no types
    """Tone sandhi that splits words with the given tokenizer."""

    def __init__(self, tokenizer: jieba.Tokenizer) -> None:
        super().__init__()
        self._tokenizer = tokenizer
        # The models were trained before the package listed more words that keep their full tone.
        self.must_not_neural_tone_words: set[str] = {
            word for word in self.must_not_neural_tone_words if word.endswith("子") or word in _FULL_TONE
        }

    def _split_word(self, word: str) -> list[str]:
        shortest = min(self._tokenizer.cut_for_search(word), key=len)
        if word.startswith(shortest):
            return [shortest, word[len(shortest) :]]
        return [word[: -len(shortest)], shortest]


class WordReader:
    """Readings of sentences. Keeps no state between calls; any thread may call it."""

    def __init__(self) -> None:
        tokenizer = load_tokenizer()
        self._tagger = jieba.posseg.POSTokenizer(tokenizer)
        self._sandhi = _Sandhi(tokenizer)

    def syllables(self, sentence: str) -> Iterator[Syllable]:
        """One syllable or mark for each character of a normalised sentence."""
        tagged = [(pair.word, _kind(pair.word, pair.flag)) for pair in self._tagger.lcut(sentence)]
        for word, kind in self._sandhi.pre_merge_for_modify(tagged):
            initials = lazy_pinyin(word, neutral_tone_with_five=True, style=Style.INITIALS)
            finals = lazy_pinyin(word, neutral_tone_with_five=True, style=Style.FINALS_TONE3)
            finals = self._sandhi.modified_tone(word, kind, finals)
            yield from map(Syllable, initials, _erhua(word, kind, finals))


def _erhua(word: str, kind: str, finals: list[str]) -> list[str]:
    """A final 儿 that is a suffix takes the tone of the character before it; one that means a child keeps its own."""
    if len(word) < 2 or word[-1] != "儿" or len(finals) != len(word):
        return finals
    own = "er2" if finals[-1] == "er1" else finals[-1]
    is_suffix = word[-2] not in _BEFORE_CHILD and kind not in {"a", "j", "nr"} and own in {"er2", "er5"}
    return [*finals[:-1], f"er{finals[-2][-1]}" if is_suffix else own]


def _kind(word: str, kind: str) -> str:
    """Jieba calls rare characters and marks alike "x"; the sandhi rules must tell them apart."""
    return _UNKNOWN_WORD if kind == _NOT_A_WORD and _IDEOGRAPHS.fullmatch(word) else kind
