"""Cuts a Chinese sentence into words with their kind, and says the tones of each word in its company.

Knows nothing of phones. Words come from jieba, readings from pypinyin (its phrase dictionary settles characters of
several readings).
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Protocol

import jieba
import jieba.posseg
from pypinyin import Style, lazy_pinyin
from pypinyin.contrib.tone_convert import to_finals_tone3, to_initials

from voxswap_server.text.chinese.sandhi import Sandhi

_BEFORE_CHILD = frozenset("女男婴幼孤少患妻侄孙乞聋虐护瞒救替为有一我俺拐花鸟猫狗马猪虫舫祖美可")
"""After these 儿 is a word of its own: a child, or a dear one."""
_CHILDREN = frozenset(
    f"{whose}儿" for whose in ("婴幼", "连体", "脑瘫", "流浪", "体弱", "混血", "蜜雪", "应采", "侄孙", "红孩")
)
_ALWAYS_SUFFIX = frozenset(f"{what}儿" for what in ("小院", "胡同", "范", "老汉", "撒欢", "寻老礼", "妥妥", "媳妇"))
"""Whatever kind of word the tagger takes them for."""


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


class Polyphones(Protocol):
    """Tells which of its readings a character has in its sentence."""

    def readings(self, sentence: str) -> Sequence[str | None]:
        """Pinyin with its tone of each character; None: as the words around it have it."""
        ...


class WordReader:
    """Readings of sentences. Keeps no state between calls; any thread may call it."""

    def __init__(self) -> None:
        tokenizer = load_tokenizer()
        self._tagger = jieba.posseg.POSTokenizer(tokenizer)
        self._sandhi = Sandhi(lambda word: list(tokenizer.cut_for_search(word)), _finals)

    def syllables(self, sentence: str, polyphones: Polyphones | None = None) -> Iterator[Syllable]:
        """One syllable or mark for each character of a normalised sentence.

        Args:
            sentence: of Chinese characters and marks.
            polyphones: settles characters of several readings; None: pypinyin's dictionary of phrases does.
        """
        tagged = [(pair.word, pair.flag) for pair in self._tagger.lcut(sentence)]
        told = polyphones.readings(sentence) if polyphones is not None else ()
        start = 0
        for word, kind in self._sandhi.merged(tagged):
            initials = lazy_pinyin(word, neutral_tone_with_five=True, style=Style.INITIALS)
            finals = _finals(word)
            for place, reading in enumerate(told[start : start + len(word)]):
                if reading is not None and len(finals) == len(word):
                    initials[place] = to_initials(reading)
                    finals[place] = to_finals_tone3(reading, neutral_tone_with_five=True)
            start += len(word)
            yield from map(Syllable, initials, _erhua(word, kind, self._sandhi.toned(word, kind, finals)))


def _finals(word: str) -> list[str]:
    return lazy_pinyin(word, neutral_tone_with_five=True, style=Style.FINALS_TONE3)


def _erhua(word: str, kind: str, finals: list[str]) -> list[str]:
    """A final 儿 that is a suffix takes the tone of the character before it; one that means a child keeps its own."""
    if word[-1] != "儿" or len(finals) != len(word):
        return finals
    own = "er2" if finals[-1] == "er1" else finals[-1]
    is_child = word in _CHILDREN or (len(word) == 2 and word[0] in _BEFORE_CHILD)
    is_suffix = word in _ALWAYS_SUFFIX or not (is_child or kind in {"a", "j", "nr"})
    is_suffix = is_suffix and len(word) > 1 and word[-2] not in _BEFORE_CHILD and own in {"er2", "er5"}
    return [*finals[:-1], f"er{finals[-2][-1]}" if is_suffix else own]
