"""Words and phones in the sound of an utterance: the attention says who, the sound says when nobody."""

from itertools import pairwise
from types import SimpleNamespace

import numpy as np
import torch
from numpy.typing import NDArray

from tests.fixtures.routines import run
from voxswap_server.audio.loudness import Loudness
from voxswap_server.engine.alignment import aligned
from voxswap_server.engine.job import Span, UtteranceAligned
from voxswap_server.engine.text_encoder import EncodedText
from voxswap_server.text.utterances import Run, Utterance

RATE_HZ = 16_000
PHONES = ("HH", "AY1", ",", "Y", "UW1", ".")
WORDS = (("hi", 2), (",", 1), ("you", 2), (".", 1))
TEXT = Utterance("Hi, you.", "hi, you.", tuple(range(6)), (Run("en", "hi, you.", PHONES, None, WORDS),))
LOOKED_AT_S = (0.2, 0.58, 0.02, 0.3, 0.48, 0.02)
"""How long the model looks at each phone: through both pauses it looks on at the phone before them."""
TOKENS = [0] * 40


def attention() -> torch.Tensor:
    """(2T, P), 20 ms a row."""
    rows = np.repeat(np.arange(len(PHONES)), [round(seconds * 50) for seconds in LOOKED_AT_S])
    return torch.from_numpy(np.where(rows[:, None] == np.arange(len(PHONES)), 0.9, 0.02).astype(np.float32))


def sound(*parts: tuple[float, float]) -> NDArray[np.float32]:
    """(seconds, amplitude), one after another."""
    return np.concatenate([np.tile((level, -level), round(seconds * RATE_HZ / 2)) for seconds, level in parts]).astype(
        "f4"
    )


def told_of(
    samples: NDArray[np.float32], text: EncodedText | None = None, looked: torch.Tensor | None = None
) -> UtteranceAligned:
    loudness = Loudness(RATE_HZ)
    for piece in np.array_split(samples, 7):
        loudness.push(piece)
    looked = attention() if looked is None else looked
    voice = SimpleNamespace(decoder=SimpleNamespace(attention=lambda *_: looked))
    text = text or EncodedText(torch.arange(6), None, TEXT)
    told: UtteranceAligned = run(aligned(voice, None, text, TOKENS, samples.size, loudness))
    return told


def seconds(spans: tuple[Span, ...]) -> list[tuple[str, float, float]]:
    return [(span.label, span.start_sample / RATE_HZ, span.end_sample / RATE_HZ) for span in spans]


def test_a_pause_belongs_to_its_mark_and_to_no_word() -> None:
    told = told_of(sound((0.4, 0.3), (0.4, 0.0), (0.6, 0.3), (0.2, 0.0)))
    assert seconds(told.words) == [("Hi", 0.0, 0.4), ("you", 0.8, 1.4)]
    edges = {label: (start, end) for label, start, end in seconds(told.phones)}
    assert edges[","] == (0.4, 0.8)
    assert edges["."] == (1.4, 1.6)
    assert abs(edges["HH"][1] - 0.2) <= 0.02
    assert abs(edges["Y"][1] - 1.1) <= 0.02


def test_phones_follow_each_other_and_no_sound_is_without_one() -> None:
    told = told_of(sound((0.1, 0.0), (0.4, 0.3), (0.3, 0.0), (0.6, 0.3), (0.1937, 0.0)))
    assert [span.label for span in told.phones] == list(PHONES)
    assert told.phones[0].start_sample == told.words[0].start_sample == RATE_HZ // 10  # the silence before is nobody's
    assert told.phones[-1].end_sample == told.samples
    assert all(a.end_sample == b.start_sample for a, b in pairwise(told.phones))


def test_a_pause_without_a_mark_is_between_two_words() -> None:
    """As a voice pauses that takes its time: the text has no mark there."""
    names, words = ("HH", "AY1", "Y", "UW1"), (("hi", 2), ("you", 2))
    text = Utterance("Hi you", "hi you", tuple(range(4)), (Run("en", "hi you", names, None, words),))
    looked = attention()[:, [0, 1, 3, 4]]
    told = told_of(
        sound((0.4, 0.3), (0.4, 0.0), (0.6, 0.3), (0.2, 0.0)), EncodedText(torch.arange(4), None, text), looked
    )
    assert seconds(told.words) == [("Hi", 0.0, 0.4), ("you", 0.8, 1.4)]
    phones = seconds(told.phones)
    assert (phones[1][2], phones[2][1], phones[3][2]) == (0.4, 0.8, 1.4)
    assert [span.label for span in told.visemes] == ["kk", "aa", "sil", "ih", "ou", "sil"]


def test_the_mouth_is_shut_while_nothing_is_heard_and_never_without_a_shape() -> None:
    told = told_of(sound((0.1, 0.0), (0.4, 0.3), (0.3, 0.0), (0.6, 0.3), (0.1937, 0.0)))
    shapes = seconds(told.visemes)
    assert [label for label, _, _ in shapes] == ["sil", "kk", "aa", "sil", "ih", "ou", "sil"]
    assert [(start, end) for label, start, end in shapes if label == "sil"] == [
        (0.0, 0.1),
        (0.5, 0.8),
        (1.4, told.samples / RATE_HZ),
    ]
    assert all(a.end_sample == b.start_sample for a, b in pairwise(told.visemes))


def test_where_nobody_pauses_the_attention_alone_says_when() -> None:
    told = told_of(sound((1.6, 0.3)))
    (_, _, hi_ends), (_, you_begins, _) = seconds(told.words)
    assert abs(hi_ends - 0.78) <= 0.02
    assert abs(you_begins - 0.8) <= 0.02


def test_what_has_no_text_or_no_sound_has_no_words() -> None:
    assert told_of(sound((1.6, 0.3)), EncodedText(torch.arange(6), None)) == UtteranceAligned((), (), (), 25_600)
    assert told_of(np.zeros(0, np.float32)) == UtteranceAligned((), (), (), 0)
