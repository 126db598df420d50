"""Tones of Mandarin words in their company: which words are read as one, and what that does to their tones.

Knows nothing of how words are found or of phones. The rules are PaddleSpeech's as the models learnt them; its words of
a neutral tone are those that the package `misaki` keeps (Apache-2.0).
"""

from collections.abc import Callable, Sequence

from misaki.tone_sandhi import ToneSandhi

Word = tuple[str, str]
"""A word and its kind, as jieba calls it."""
Finals = list[str]
"""One a character, each with its tone, 1 to 5, at the end."""
Readings = Callable[[str], Finals]

_NOT, _ONE, _PIECE, _CHILD = "不", "一", "个", "儿"
_MARKS = frozenset("：，；。？！“”‘’':,;.?!")
_PARTICLES = frozenset("吧呢哈啊呐噻嘛吖嗨呐哦哒额滴哩哟喽啰耶喔诶的地得")
_ASPECTS = frozenset("了着过")
_DIRECTIONS = frozenset("上下进出回过起开")
_BEFORE_PIECE = frozenset("几有两半多各整每做是")
_LONGEST_MERGED = 3


class Sandhi:
    """Keeps no state between calls.

    Args:
        search: splits a word into the words within it.
        readings: finals of a word by itself.
    """

    def __init__(self, search: Callable[[str], Sequence[str]], readings: Readings) -> None:
        lists = ToneSandhi()
        self._search = search
        self._readings = readings
        # The package's list has changed by a few words since the models were trained.
        learnt_since, forgotten = {"别人", "将军", "戏弄"}, {"不在", "学生", "情形", "打点", "老太", "老头"}
        self._neutral = frozenset((lists.must_neural_tone_words - learnt_since) | forgotten)
        self._full = frozenset(lists.must_not_neural_tone_words)

    def merged(self, words: Sequence[Word]) -> list[Word]:
        """Words that are read as one: 不 and 一 with what follows, doubled words, third tones in a row, 儿."""
        return _with_child(
            self._with_third_tones(
                self._with_third_tones(_doubled(_with_one(_with_negation(words))), whole=True), whole=False
            )
        )

    def toned(self, word: str, kind: str, finals: Finals) -> Finals:
        """The finals of a merged word, with the tones that it has in speech."""
        if len(finals) != len(word) or not all(finals):
            return finals
        toned = list(finals)
        _tone_negation(word, toned)
        _tone_one(word, toned)
        self._tone_neutrally(word, kind, toned)
        self._tone_thirds(word, toned)
        return toned

    def _with_third_tones(self, words: list[Word], *, whole: bool) -> list[Word]:
        """Short neighbours in the third tone, each as a whole or only where they meet; at most two are merged."""
        finals = [self._readings(word) for word, _ in words]
        if not all(all(one) and one for one in finals):
            return words
        merged: list[Word] = []
        with_last = False
        for place, (word, kind) in enumerate(words):
            before = words[place - 1][0] if place and not with_last else ""
            meet = before and (
                _all_third(finals[place - 1]) and _all_third(finals[place])
                if whole
                else _third(finals[place - 1][-1]) and _third(finals[place][0])
            )
            doubled = len(before) == 2 and before[0] == before[1]  # it goes its own way
            with_last = bool(meet) and not doubled and len(before) + len(word) <= _LONGEST_MERGED
            if with_last:
                merged[-1] = (merged[-1][0] + word, merged[-1][1])
            else:
                merged.append((word, kind))
        return merged

    def _tone_neutrally(self, word: str, kind: str, finals: Finals) -> None:
        for place in range(1, len(word)):
            if word[place] == word[place - 1] and kind[0] in "nva" and word not in self._full:
                finals[place] = _in_tone(finals[place], 5)
        neutral = self._neutral_place(word, kind)
        if neutral is not None:
            finals[neutral] = _in_tone(finals[neutral], 5)
        first, second = self._split(word)
        for part, last in ((first, len(first) - 1), (second, len(word) - 1)):
            if part in self._neutral or part[-2:] in self._neutral:
                finals[last] = _in_tone(finals[last], 5)

    def _neutral_place(self, word: str, kind: str) -> int | None:
        """Which character is neutral as a suffix, a particle or a measure."""
        last, before, piece = word[-1], word[-2:-1], word.find(_PIECE)
        is_suffix = (
            last in _PARTICLES
            or (word in _ASPECTS and kind in {"ul", "uz", "ug"})
            or (before and last in "们子" and kind in {"r", "n"} and word not in self._full)
            or (before and last in "上下里" and kind in {"s", "l", "f"})
            or (before in _DIRECTIONS and last in "来去")
        )
        if is_suffix:
            return len(word) - 1
        counted = piece >= 1 and (word[piece - 1].isnumeric() or word[piece - 1] in _BEFORE_PIECE)
        if counted or word == _PIECE:
            return piece
        return len(word) - 1 if word in self._neutral or word[-2:] in self._neutral else None

    def _tone_thirds(self, word: str, finals: Finals) -> None:
        """Before a third tone a third becomes a second."""
        if len(word) == 2:
            _raise_first(finals, 0, 2)
        elif len(word) == 3:
            self._tone_three_characters(word, finals)
        elif len(word) == 4:
            _raise_first(finals, 0, 2)
            _raise_first(finals, 2, 4)

    def _tone_three_characters(self, word: str, finals: Finals) -> None:
        cut = len(self._split(word)[0])
        if _all_third(finals):
            for place in (0, 1) if cut == 2 else (1,) if cut == 1 else ():
                finals[place] = _in_tone(finals[place], 2)
            return
        _raise_first(finals, 0, cut)
        if 0 < cut < 3 and not _all_third(finals[cut:]) and _third(finals[cut]) and _third(finals[cut - 1]):
            finals[cut - 1] = _in_tone(finals[cut - 1], 2)
        else:
            _raise_first(finals, cut, 3)

    def _split(self, word: str) -> tuple[str, str]:
        """A word of two parts, one of which is the shortest word within it, wherever in it that is."""
        shortest = min(self._search(word), key=len)
        if word.startswith(shortest):
            return shortest, word[len(shortest) :]
        return word[: -len(shortest)], shortest


def _with_negation(words: Sequence[Word]) -> list[Word]:
    joined: list[Word] = []
    before = ""
    for word, kind in words:
        before = _NOT + word if before == _NOT else word
        if before != _NOT:
            joined.append((before, kind))
    if before == _NOT:
        joined.append((_NOT, "d"))
    return joined


def _with_one(words: Sequence[Word]) -> list[Word]:
    """听 一 听 is one verb; else 一 belongs to what follows."""
    verbs: list[Word] = []
    skip = False
    for place, (word, kind) in enumerate(words):
        after = words[place + 1] if place + 1 < len(words) else ("", "")
        if skip:
            skip = False
        elif verbs and word == _ONE and after[1] == "v" and verbs[-1] == after:
            verbs[-1] = (after[0] + _ONE + after[0], "v")
            skip = True
        else:
            verbs.append((word, kind))
    joined: list[Word] = []
    for word, kind in verbs:
        if joined and joined[-1][0] == _ONE:
            joined[-1] = (_ONE + word, joined[-1][1])
        else:
            joined.append((word, kind))
    return joined


def _doubled(words: Sequence[Word]) -> list[Word]:
    joined: list[Word] = []
    for word, kind in words:
        if joined and joined[-1][0] == word:
            joined[-1] = (word + word, joined[-1][1])
        else:
            joined.append((word, kind))
    return joined


def _with_child(words: Sequence[Word]) -> list[Word]:
    joined: list[Word] = []
    for word, kind in words:
        if joined and word == _CHILD:
            joined[-1] = (joined[-1][0] + word, joined[-1][1])
        else:
            joined.append((word, kind))
    return joined


def _tone_negation(word: str, finals: Finals) -> None:
    if len(word) == 3 and word[1] == _NOT:
        finals[1] = _in_tone(finals[1], 5)
        return
    for place in range(len(word) - 1):
        if word[place] == _NOT and finals[place + 1][-1] == "4":
            finals[place] = _in_tone(finals[place], 2)


def _tone_one(word: str, finals: Finals) -> None:
    if all(char.isnumeric() for char in word):  # a row of digits
        return
    if len(word) == 3 and word[1] == _ONE and word[0] == word[2]:
        finals[1] = _in_tone(finals[1], 5)
    elif word.startswith("第一"):
        finals[1] = _in_tone(finals[1], 1)
    else:
        for place in range(len(word) - 1):
            if word[place] != _ONE:
                continue
            if finals[place + 1][-1] == "4":
                finals[place] = _in_tone(finals[place], 2)
            elif word[place + 1] not in _MARKS:
                finals[place] = _in_tone(finals[place], 4)


def _raise_first(finals: Finals, start: int, stop: int) -> None:
    if stop - start == 2 and _all_third(finals[start:stop]):
        finals[start] = _in_tone(finals[start], 2)


def _all_third(finals: Finals) -> bool:
    return all(map(_third, finals))


def _third(final: str) -> bool:
    return final.endswith("3")


def _in_tone(final: str, tone: int) -> str:
    return f"{final[:-1]}{tone}"
