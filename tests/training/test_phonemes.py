import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.training.conftest import FRAMES, PHONEMES
from voxswap_training.phonemes import CLASSES, INDEX, UNVOICED, classes_at_frames, semitones_at_frames, spans

SYMBOLS = "_hbˈˌ ː.,AIæətkʧ"


def test_spans_of_a_plan() -> None:
    parts = spans(PHONEMES, FRAMES)
    names = [CLASSES[sound] for sound, _ in parts]
    assert names == ["sil", "h", "A1", "A2", "t", "k", "æ", "t", "sil", "sil"]
    ends = [end + 0.060 for _, end in parts]
    assert ends[0] == pytest.approx(0.1)
    assert ends[1] == pytest.approx(0.1 + 0.05 + 0.2 * 0.075)  # h and the start of the stress mark
    assert ends[3] - ends[1] == pytest.approx(0.1 + 0.8 * 0.075)  # the rest of the mark, and the vowel
    assert ends[4] - ends[3] == pytest.approx(0.075 + 0.5 * 0.05)  # t and half of the blank
    assert ends[-1] == pytest.approx(sum(FRAMES) * 0.025)


@given(st.lists(st.tuples(st.sampled_from(SYMBOLS), st.integers(1, 9)), min_size=1, max_size=30))
def test_no_time_is_lost_and_none_goes_back(plan: list[tuple[str, int]]) -> None:
    phonemes, frames = "_" + "".join(symbol for symbol, _ in plan), (4, *(count for _, count in plan))
    parts = spans(phonemes, frames)
    ends = [end for _, end in parts]
    assert ends == sorted(ends)
    assert ends[-1] + 0.060 == pytest.approx(sum(frames) * 0.025)
    sounds = classes_at_frames(phonemes, frames)
    assert len(sounds) % 2 == 0
    assert abs(len(sounds) - sum(frames) * 1.25) < 2


def test_frames_hear_sounds_before_their_place_in_the_plan() -> None:
    sounds = classes_at_frames("_s_", (4, 8, 8))
    first = int(np.flatnonzero(sounds == INDEX["s"])[0])
    assert first == 2  # 100 ms of silence in the plan, 60 ms of lag: s sounds from 40 ms on
    assert (sounds == INDEX["s"]).sum() == 10


def test_pitch_is_relative_to_the_voice_and_zero_without_voice() -> None:
    sounds = classes_at_frames("_sæ_", (4, 8, 8, 8))
    semitones = semitones_at_frames([200] * 28, sounds, 100.0)
    assert set(np.round(semitones[sounds == INDEX["æ"]], 4)) == {12.0}
    assert not semitones[np.isin(sounds, list(UNVOICED))].any()


def test_a_whisper_has_no_pitch() -> None:
    sounds = classes_at_frames("_æ_", (4, 8, 8))
    assert not semitones_at_frames([0] * 20, sounds, 100.0).any()
