"""Phones of an English word: dictionary, letters, possessive, compound, then the word model.

Knows nothing of sentences or numbers. The dictionary is Carnegie Mellon's, in the edition (0.7b) that the models learnt
from: the package that carries it is read as a file, none of its code runs.
"""

import re
from collections.abc import Mapping
from importlib.resources import files
from types import MappingProxyType

from wordsegment import Segmenter

from voxswap_server.text.english.neural import NeuralSpeller
from voxswap_server.text.installed import installed_file
from voxswap_server.text.lazy import Lazy

_MISREAD = ("ae", "ai", "ar", "ios", "hud", "os")
"""Abbreviations that the dictionary reads as words; they are spelt out."""
_RECORDED = "recorded_readings.txt"
"""Beside this file: what the models learnt otherwise than the dictionary has it."""
_SPELT_CHARS = 3
"""Unknown words up to this length are read by letters."""
_POSSESSIVE = re.compile(r"([a-z]+)'s")
_UNVOICED = frozenset(["P", "T", "K", "F", "TH", "HH"])
_SIBILANT = frozenset(["S", "Z", "SH", "ZH", "CH", "JH"])

Phones = tuple[str, ...]


def _load_dictionary() -> Mapping[str, str]:
    """Word → its first pronunciation, as one string: a tenth of the memory of tuples."""
    first: dict[str, str] = {}
    for line in installed_file("pronouncing", "cmudict-0.7b").read_text("latin-1").splitlines():
        word, _, phones = line.partition("  ")
        if not word.endswith(")") and not line.startswith(";;;"):  # the other pronunciations are numbered: WORD(1)
            first.setdefault(word.lower(), phones)
    for line in (files(__package__) / _RECORDED).read_text("ascii").splitlines():
        word, _, phones = line.partition("#")[0].partition(" ")
        first[word] = phones
    for word in ("", *_MISREAD):
        first.pop(word, None)
    return MappingProxyType({word: phones for word, phones in first.items() if phones})


def _load_segmenter() -> Segmenter:
    segmenter = Segmenter()
    segmenter.load()
    return segmenter


class WordReader:
    """Phones of words. Resources load at the first word; then it keeps no state, so any thread may call it."""

    def __init__(self) -> None:
        self._dictionary = Lazy(_load_dictionary)
        self._segmenter = Lazy(_load_segmenter)
        self._speller = Lazy(NeuralSpeller.from_installed)

    def letter(self, letter: str) -> Phones:
        """The name of one letter; a lower-case "a" is the article."""
        if letter == "A":
            return ("EY1",)
        return tuple(self._dictionary.get().get(letter.lower(), letter).split())

    def phones(self, word: str) -> Phones:
        """Phones of a word of at least one letter. Marks inside a short unknown word are kept as they are."""
        word = word.lower()
        known = self._dictionary.get().get(word) if len(word) > 1 else None
        if known is not None:
            return tuple(known.split())
        if len(word) <= _SPELT_CHARS:
            return tuple(phone for letter in word for phone in self.letter("A" if letter == "a" else letter))
        possessive = _POSSESSIVE.fullmatch(word)
        if possessive is not None:
            return self.owner(self.phones(possessive[1]))
        parts = self._segmenter.get().segment(word)
        if len(parts) == 1:
            return self._speller.get().phones(word)
        return tuple(phone for part in parts for phone in self.phones(part))

    @staticmethod
    def owner(phones: Phones) -> Phones:
        """Phones of a word with the possessive's s."""
        if phones and phones[-1] in _UNVOICED:
            return (*phones, "S")
        return (*phones, "AH0", "Z") if phones and phones[-1] in _SIBILANT else (*phones, "Z")
