"""Marks against sound, on sound that was put together for it, so that what is true is known."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bench.marks import HOP_S, distances, offsets, onsets, ranks, rotated
from bench.timestamps import Found, Spoken, check
from voxswap_server.domain import (
    AudioChunk,
    AudioEncoding,
    CacheState,
    StreamStarted,
    SynthesisDone,
    Timestamp,
    TimestampKind,
    Timestamps,
)

RATE_HZ = 16_000
MARKS = ("words_s", "phones_s", "word_ends_s")
PHONES_HZ = (220, 700, 1800, 350, 3100, 500, 1200, 2500)


def spoken(seed=0, *, late_s=0.0, words=8, noise=1e-4):
    """Words of two to four tones with silences between some of them, and marks that are late by so much."""
    chance = np.random.default_rng(seed)
    pieces, word_marks, phone_marks, end_marks, position = [], [], [], [], 0

    def put(piece):
        nonlocal position
        pieces.append(piece)
        position += piece.size

    put(np.zeros(int(0.15 * RATE_HZ)))
    for number in range(words):
        word_marks.append(position / RATE_HZ)
        for hz in chance.choice(PHONES_HZ, chance.integers(2, 5), replace=False):
            phone_marks.append(position / RATE_HZ)
            put(0.4 * np.sin(2 * np.pi * hz * np.arange(int(chance.uniform(0.06, 0.16) * RATE_HZ)) / RATE_HZ))
        end_marks.append(position / RATE_HZ)
        if number % 2:
            put(np.zeros(int(chance.uniform(0.12, 0.3) * RATE_HZ)))
    samples = np.concatenate(pieces) + noise * chance.standard_normal(position)
    marks = (np.array(marks) + late_s for marks in (word_marks, phone_marks, end_marks))
    return Spoken(samples.astype(np.float32), RATE_HZ, *marks)


def found_in(*sentences):
    found = Found()
    for one in sentences:
        found.add(one)
    return found


def passed(found):
    return [is_passed for is_passed, _ in found.lines()]


@given(st.integers(0, 50))
def test_every_silence_ends_where_a_word_begins(seed):
    true = spoken(seed)
    found = onsets(true.samples, RATE_HZ)
    assert found.size == 4  # of eight words every second is followed by a silence
    assert np.abs(distances(true.words_s, found)).max() <= 2 * HOP_S
    begun = offsets(true.samples, RATE_HZ)
    assert begun.size == 4
    assert np.abs(distances(true.word_ends_s, begun)).max() <= 2 * HOP_S


@given(st.integers(0, 50), st.sampled_from([-0.06, -0.03, 0.03, 0.05]))
def test_marks_that_are_late_are_late_by_so_much(seed, late_s):
    wrong = spoken(seed, late_s=late_s)
    assert np.median(distances(wrong.words_s, onsets(wrong.samples, RATE_HZ))) == pytest.approx(late_s, abs=2 * HOP_S)


def test_gaps_within_words_are_no_silence_and_clicks_are_no_words():
    sound = np.zeros(RATE_HZ, np.float32)
    sound[1600:3200] = sound[4000:8000] = 0.5  # 50 ms apart
    sound[12_000:12_160] = 0.5  # 10 ms
    assert onsets(sound, RATE_HZ) == pytest.approx([0.1], abs=2 * HOP_S)
    assert offsets(sound, RATE_HZ) == pytest.approx([0.5], abs=2 * HOP_S)


def test_where_nothing_is_nothing_begins():
    assert onsets(np.zeros(RATE_HZ, np.float32), RATE_HZ).size == 0
    assert offsets(np.zeros(RATE_HZ, np.float32), RATE_HZ).size == 0
    nothing = Spoken(np.zeros(RATE_HZ, np.float32), RATE_HZ, *(np.array([0.5]) for _ in range(3)))
    assert found_in(nothing).lines() == [
        (False, "no silence ends within any sentence: nothing tells what the words are worth")
    ]
    with pytest.raises(ValueError, match="no marks"):
        distances([], np.array([0.1]))


def test_one_sound_becomes_another_at_the_marks_and_nowhere_else():
    true = spoken(3)
    assert ranks(true.phones_s, true.samples, RATE_HZ).mean() > 0.85
    elsewhere = [
        ranks(rotated(true.phones_s, by_s, true.total_s), true.samples, RATE_HZ).mean()
        for by_s in np.linspace(0.2, true.total_s - 0.2, 40)
    ]
    assert 0.35 < np.mean(elsewhere) < 0.65


@given(st.lists(st.floats(0, 10), min_size=1, max_size=9), st.floats(0, 10))
def test_marks_that_are_rotated_stay_within_the_recording(marks, by_s):
    turned = rotated(marks, by_s, 10.0)
    assert len(turned) == len(marks)
    assert ((turned >= 0) & (turned < 10.0)).all()


def test_true_marks_pass_every_gate_and_wrong_ones_fail_them():
    true = [spoken(seed) for seed in range(6)]
    assert passed(found_in(*true)) == [True] * 5
    late = [spoken(seed, late_s=0.2) for seed in range(6)]
    assert [passed(found_in(*late))[gate] for gate in (0, 2, 4)] == [False] * 3
    strangers = [
        replace(one, **{name: rotated(getattr(one, name), 0.7, one.total_s) for name in MARKS}) for one in true
    ]
    assert passed(found_in(*strangers)) == [False] * 5


def test_words_that_end_in_the_silence_after_them_fail_though_they_begin_where_they_should():
    sentences = [spoken(seed) for seed in range(6)]
    drawn_out = [replace(one, word_ends_s=one.word_ends_s + 0.2) for one in sentences]
    assert passed(found_in(*drawn_out)) == [True, True, False, False, True]


class Speaker:
    """A synthesizer of sound that was put together, in pieces."""

    def __init__(self):
        self.requests = []

    async def synthesize(self, request):
        self.requests.append(request)
        made = spoken(request.sampling.seed)
        yield StreamStarted("r", request.voice_id, AudioEncoding.PCM_F32, RATE_HZ, 1, 1, CacheState.DEVICE, 0.0, 0)
        for start in range(0, made.samples.size, 4000):
            piece = made.samples[start : start + 4000]
            yield AudioChunk(piece.astype("<f4").tobytes(), start, piece.size, start // 4000)
        kinds = {
            TimestampKind.WORD: (made.words_s, made.word_ends_s),
            TimestampKind.PHONE: (made.phones_s, made.phones_s + 0.01),
        }
        yield Timestamps(
            tuple(
                Timestamp(kind, "x", round(start * RATE_HZ), round(end * RATE_HZ))
                for kind, marks in kinds.items()
                for start, end in zip(*marks, strict=True)
            )
        )
        yield SynthesisDone(made.samples.size, 1.0, 0.1, 0.0, 0.0)


async def test_a_voice_is_asked_for_what_is_looked_at():
    speaker = Speaker()
    found = await check(speaker, "amber", ["One, two.", "Three."], "en")
    assert passed(found) == [True] * 5
    assert [asked.text for asked in speaker.requests] == ["One, two.", "Three."]
    assert {asked.audio.encoding for asked in speaker.requests} == {AudioEncoding.PCM_F32}
    assert {kind for asked in speaker.requests for kind in asked.timestamps} == {
        TimestampKind.WORD,
        TimestampKind.PHONE,
    }
