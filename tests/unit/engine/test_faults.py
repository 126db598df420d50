"""Signs of a model that has lost itself: each is seen, at its place, and speech is not taken for one."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from voxswap_server.engine.faults import (
    COLLAPSE_TOKENS,
    LOOP_PERIODS,
    LOOP_TOKENS,
    RUNAWAY_TOKENS,
    RUNAWAY_TOKENS_PER_PHONE,
    SoundWatch,
    TokenWatch,
)
from voxswap_server.errors import DegenerateAudio


def speech(count: int, seed: int = 0) -> list[int]:
    return [int(token) for token in np.random.default_rng(seed).integers(0, 1024, count)]


def fault_of(tokens: list[int], phones: int = 1000) -> tuple[str, int] | None:
    """Kind of the first fault, and after how many tokens it was seen."""
    watch = TokenWatch(phones)
    for index, token in enumerate(tokens):
        try:
            watch.see(token)
        except DegenerateAudio as error:
            return error.fault, index + 1
    return None


def test_speech_is_no_fault() -> None:
    assert fault_of(speech(1500), phones=200) is None
    sounds = [token for token in speech(100) for _ in range(6)]  # long sounds
    assert fault_of(sounds) is None
    silent_stretch = [*speech(40), *[7] * (COLLAPSE_TOKENS - 1), *speech(40, 1)]
    assert fault_of(silent_stretch) is None


def test_one_token_in_a_row_is_a_collapse() -> None:
    assert fault_of([*speech(30), *[7] * 100]) == ("collapse", 30 + COLLAPSE_TOKENS)
    assert fault_of([7] * 100) == ("collapse", COLLAPSE_TOKENS)


@given(period=st.integers(2, LOOP_PERIODS), before=st.integers(0, 100), seed=st.integers(0, 5))
def test_a_loop_is_seen_after_three_rounds_and_three_seconds(period: int, before: int, seed: int) -> None:
    phrase = [1024 + index for index in range(period)]
    tokens = [*speech(before, seed), *phrase * 100]
    assert fault_of(tokens) == ("loop", before + max(LOOP_TOKENS, 3 * period))


def test_two_rounds_are_no_loop() -> None:
    phrase = speech(LOOP_PERIODS)
    assert fault_of([*phrase, *phrase, *speech(40, 3)]) is None


def test_an_utterance_that_does_not_end_runs_away() -> None:
    limit = RUNAWAY_TOKENS + 5 * RUNAWAY_TOKENS_PER_PHONE
    assert fault_of(speech(limit), phones=5) is None
    assert fault_of(speech(limit + 40), phones=5) == ("runaway", limit + 1)
    assert TokenWatch(5).runaway().fault == "runaway"


def test_samples_that_are_no_numbers_are_heard_by_nobody() -> None:
    for bad in (np.nan, np.inf, -np.inf):
        watch = SoundWatch()
        watch.hear(np.full(10, 0.1, np.float32))
        with pytest.raises(DegenerateAudio, match="no numbers") as caught:
            watch.hear(np.array([0.1, bad], np.float32))
        assert (caught.value.fault, watch.samples) == ("not_finite", 10)


def test_silence_is_told_from_speech_that_begins_softly() -> None:
    watch = SoundWatch()
    watch.hear(np.zeros(100, np.float32))
    watch.hear(np.zeros(0, np.float32))
    with pytest.raises(DegenerateAudio, match="silence") as caught:
        watch.end()
    assert caught.value.fault == "silence"
    watch.hear(np.array([-0.02], np.float32))
    watch.end()
    SoundWatch().end()  # nothing at all: there was nothing to say
